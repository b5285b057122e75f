"""A Task's events as one iterator that outlives connections; `cursor` has the rules."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import grpc

from backspace import v1
from backspace.cursor import Cursor
from backspace.errors import CallError
from backspace.reconnect import Interruption

if TYPE_CHECKING:
    from backspace.client import Client


class TaskRun(Iterator[v1.TaskEvent]):
    """A Task being followed. Iterate over it; `close` it, or use it in a `with`, to stop before its end."""

    def __init__(
        self,
        client: Client,
        *,
        opening: v1.RunTaskRequest | None = None,
        task: str = "",
        after_sequence: int = 0,
        durable_only: bool = False,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> None:
        self._client = client
        self._opening = opening
        self._durable_only = durable_only
        self._on_interruption = on_interruption
        self._cursor = Cursor(client.options.reconnect, task, after_sequence)
        self._stream: Any = None
        self._closed = threading.Event()

    @property
    def task(self) -> str:
        """The Task's name, `tasks/{id}`; known from the first event on, empty before."""
        return self._cursor.task

    @property
    def last_sequence(self) -> int:
        """The last durable event that was delivered: where another watcher could go on."""
        return self._cursor.last_sequence

    def __iter__(self) -> TaskRun:
        return self

    def __next__(self) -> v1.TaskEvent:
        while not (self._cursor.ended or self._closed.is_set()):
            try:
                event = self._step()
            except CallError as error:
                self._drop()
                if self._closed.is_set():
                    break
                self._pause(error)
                continue
            except BaseException:
                self._drop()
                raise
            if event is not None:
                return event
        self._drop()
        raise StopIteration

    def close(self) -> None:
        """Stops following; the Task goes on. May be called from another thread."""
        self._closed.set()
        self._drop()

    def __enter__(self) -> TaskRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _step(self) -> v1.TaskEvent | None:
        try:
            if self._stream is None:
                self._stream = self._open()
                self._cursor.opened()
            for response in self._stream:
                named = response.task if isinstance(response, v1.RunTaskResponse) else ""
                event = self._cursor.accept(named, response.event if response.HasField("event") else None)
                if event is not None:
                    return event
        except grpc.RpcError as error:
            raise CallError.of(error) from error
        self._stream = None
        if self._cursor.closed_in_silence():
            self._cursor.answered(self._client.get_task(self._cursor.task))
        return None

    def _open(self) -> Any:
        if not self._cursor.task:
            return self._client.stub.RunTask(self._opening or v1.RunTaskRequest(), metadata=self._client.metadata)
        request = v1.WatchTaskRequest(
            name=self._cursor.task, after_sequence=self._cursor.last_sequence, durable_only=self._durable_only
        )
        return self._client.stub.WatchTask(request, metadata=self._client.metadata)

    def _pause(self, error: CallError) -> None:
        interruption = self._cursor.fail(error)
        if self._on_interruption is not None:
            self._on_interruption(interruption)
        self._closed.wait(interruption.delay_seconds)

    def _drop(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.cancel()
