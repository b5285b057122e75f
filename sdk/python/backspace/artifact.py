"""Reading an artifact: the whole patch, a tool's output, the log.

A lost connection is opened again at the byte reached. The bytes come as they were stored: whoever shows them
on a terminal has to escape them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import grpc

from backspace import v1
from backspace.errors import BackspaceError, CallError
from backspace.reconnect import Patience

if TYPE_CHECKING:
    from backspace.client import Client


class ArtifactRead(Iterator[bytes]):
    """An artifact being read, in pieces."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name
        self._patience = Patience(client.options.reconnect)
        self._stream: Any = None
        self._done = False
        self.offset = 0
        """How many bytes were delivered."""

    def __iter__(self) -> ArtifactRead:
        return self

    def __next__(self) -> bytes:
        while not self._done:
            try:
                if self._stream is None:
                    request = v1.ReadArtifactRequest(name=self._name, offset=self.offset)
                    self._stream = self._client.stub.ReadArtifact(request, metadata=self._client.metadata)
                for response in self._stream:
                    if response.data:
                        self.offset += len(response.data)
                        self._patience.heard()
                        return bytes(response.data)
                self._done = True
            except grpc.RpcError as error:
                self._stream = None
                self._pause(CallError.of(error))
        raise StopIteration

    def read(self, limit_bytes: int) -> bytes:
        """Returns all that is left, at most so many bytes; more is an error."""
        whole = bytearray()
        for data in self:
            whole += data
            if len(whole) > limit_bytes:
                self._done = True
                self._stream.cancel()
                raise BackspaceError(f"{self._name} is longer than the {limit_bytes} bytes allowed for here")
        return bytes(whole)

    def _pause(self, error: CallError) -> None:
        try:
            interruption = self._patience.fail(error)
        except BackspaceError:
            self._done = True
            raise
        time.sleep(interruption.delay_seconds)
