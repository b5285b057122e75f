"""The same client for asyncio: `async with await aio.connect(…) as client`, `async for event in client.run_task(…)`.

The rules are `cursor`'s, as for the other client; only the waiting is another. Waiting for an event may be
cancelled at any time and begun again: nothing is lost by it, and the Task goes on.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio

from backspace import v1
from backspace.cursor import Cursor
from backspace.errors import CallError, Origin, UnreachableError
from backspace.options import Options, parse_address
from backspace.reconnect import Interruption, Patience
from backspace.v1.agent_service_pb2_grpc import AgentServiceStub


async def connect(address: str, options: Options | None = None) -> Client:
    """As `backspace.connect`."""
    client = Client(address, options)
    try:
        await client.server_info()
    except CallError as error:
        await client.close()
        if error.origin is Origin.TRANSPORT and error.is_retryable:
            raise UnreachableError(client.address, error) from error
        raise
    except BaseException:
        await client.close()
        raise
    return client


class Client:
    """As `backspace.Client`. Belongs to the event loop it was made in."""

    def __init__(self, address: str, options: Options | None = None) -> None:
        self.address = address.strip()
        self.options = options or Options()
        self.metadata = self.options.metadata()
        """What each call of `stub` has to be given."""
        target, secure = parse_address(address, self.options.plaintext)
        arguments = self.options.channel_arguments()
        self._channel = (
            grpc.aio.secure_channel(target, self.options.credentials(), options=arguments)
            if secure
            else grpc.aio.insecure_channel(target, options=arguments)
        )
        self.stub: Any = AgentServiceStub(self._channel)
        """The generated client, for a call made in one's own way."""

    async def close(self) -> None:
        """Closes the connection; runs that use it end."""
        await self._channel.close()

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def run_task(
        self,
        spec: v1.TaskSpec,
        *,
        request_id: str | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> TaskRun:
        """As `backspace.Client.run_task`; iterate with `async for`."""
        opening = v1.RunTaskRequest(spec=spec, request_id=request_id or str(uuid.uuid4()))
        return TaskRun(self, opening=opening, on_interruption=on_interruption)

    def watch(
        self,
        task: str,
        after_sequence: int = 0,
        *,
        durable_only: bool = False,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> TaskRun:
        """As `backspace.Client.watch`; iterate with `async for`."""
        return TaskRun(
            self,
            task=task,
            after_sequence=after_sequence,
            durable_only=durable_only,
            on_interruption=on_interruption,
        )

    async def read_artifact(self, name: str) -> AsyncIterator[bytes]:
        """Reads an artifact, `tasks/{id}/artifacts/{artifact}`, in pieces; goes on where a connection was lost."""
        patience, offset = Patience(self.options.reconnect), 0
        while True:
            try:
                request = v1.ReadArtifactRequest(name=name, offset=offset)
                async for response in self.stub.ReadArtifact(request, metadata=self.metadata):
                    offset += len(response.data)
                    patience.heard()
                    yield response.data
                return
            except grpc.RpcError as error:
                await asyncio.sleep(patience.fail(CallError.of(error)).delay_seconds)

    async def create_task(self, spec: v1.TaskSpec, *, request_id: str | None = None) -> v1.Task:
        """As `backspace.Client.create_task`."""
        request = v1.CreateTaskRequest(spec=spec, request_id=request_id or str(uuid.uuid4()))
        task: v1.Task = (await self._call(self.stub.CreateTask, request)).task
        return task

    async def get_task(self, name: str) -> v1.Task:
        """As `backspace.Client.get_task`."""
        task: v1.Task = (await self._call(self.stub.GetTask, v1.GetTaskRequest(name=name))).task
        return task

    async def list_tasks(self, *states: v1.Task.State.ValueType) -> AsyncIterator[v1.Task]:
        """As `backspace.Client.list_tasks`; iterate with `async for`."""
        request = v1.ListTasksRequest(states=states)
        while True:
            response = await self._call(self.stub.ListTasks, request)
            for task in response.tasks:
                yield task
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    async def cancel_task(self, name: str, reason: str = "") -> v1.Task:
        """As `backspace.Client.cancel_task`."""
        request = v1.CancelTaskRequest(name=name, reason=reason)
        task: v1.Task = (await self._call(self.stub.CancelTask, request)).task
        return task

    async def send_message(
        self, name: str, text: str, *, request_id: str | None = None, include_review_comments: bool = False
    ) -> v1.Task:
        """As `backspace.Client.send_message`."""
        request = v1.SendMessageRequest(
            name=name,
            text=text,
            request_id=request_id or str(uuid.uuid4()),
            include_review_comments=include_review_comments,
        )
        task: v1.Task = (await self._call(self.stub.SendMessage, request)).task
        return task

    async def delete_task(self, name: str) -> None:
        """As `backspace.Client.delete_task`."""
        await self._call(self.stub.DeleteTask, v1.DeleteTaskRequest(name=name))

    async def server_info(self) -> v1.GetServerInfoResponse:
        """As `backspace.Client.server_info`."""
        response: v1.GetServerInfoResponse = await self._call(self.stub.GetServerInfo, v1.GetServerInfoRequest())
        return response

    async def _call(self, method: Any, request: Any) -> Any:
        try:
            return await method(request, timeout=self.options.call_timeout_seconds, metadata=self.metadata)
        except grpc.RpcError as error:
            raise CallError.of(error) from error


class TaskRun(AsyncIterator[v1.TaskEvent]):
    """As `backspace.TaskRun`, for `async for`."""

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
        self._call: Any = None
        self._responses: Any = None
        self._advancing: asyncio.Task[v1.TaskEvent | None] | None = None

    @property
    def task(self) -> str:
        """The Task's name, `tasks/{id}`; known from the first event on, empty before."""
        return self._cursor.task

    @property
    def last_sequence(self) -> int:
        """The last durable event that was delivered: where another watcher could go on."""
        return self._cursor.last_sequence

    def __aiter__(self) -> TaskRun:
        return self

    async def __anext__(self) -> v1.TaskEvent:
        # In a task of its own: who waits with a time limit cancels its wait many times, and a connection
        # that was being made anew each time would never be there.
        if self._advancing is None:
            self._advancing = asyncio.ensure_future(self._advance())
        advancing = self._advancing
        try:
            event = await asyncio.shield(advancing)
        except asyncio.CancelledError:
            # An event that came in the same moment stays for the next wait.
            if advancing.cancelled():
                self._advancing = None
            raise
        except BaseException:
            self._advancing = None
            raise
        self._advancing = None
        if event is None:
            raise StopAsyncIteration
        return event

    async def _advance(self) -> v1.TaskEvent | None:
        while not self._cursor.ended:
            try:
                event = await self._step()
            except CallError as error:
                self._drop()
                interruption = self._cursor.fail(error)
                if self._on_interruption is not None:
                    self._on_interruption(interruption)
                await asyncio.sleep(interruption.delay_seconds)
                continue
            except BaseException:
                self._drop()
                raise
            if event is not None:
                return event
        self._drop()
        return None

    async def aclose(self) -> None:
        """Stops following; the Task goes on."""
        self._cursor.ended = True
        if self._advancing is not None:
            self._advancing.cancel()
            self._advancing = None
        self._drop()

    async def __aenter__(self) -> TaskRun:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _step(self) -> v1.TaskEvent | None:
        try:
            if self._call is None:
                self._call = self._open()
                self._responses = self._call.__aiter__()
                self._cursor.opened()
            async for response in self._responses:
                named = response.task if isinstance(response, v1.RunTaskResponse) else ""
                event = self._cursor.accept(named, response.event if response.HasField("event") else None)
                if event is not None:
                    return event
        except grpc.RpcError as error:
            raise CallError.of(error) from error
        self._call = None
        if self._cursor.closed_in_silence():
            self._cursor.answered(await self._client.get_task(self._cursor.task))
        return None

    def _open(self) -> Any:
        if not self._cursor.task:
            return self._client.stub.RunTask(self._opening or v1.RunTaskRequest(), metadata=self._client.metadata)
        request = v1.WatchTaskRequest(
            name=self._cursor.task, after_sequence=self._cursor.last_sequence, durable_only=self._durable_only
        )
        return self._client.stub.WatchTask(request, metadata=self._client.metadata)

    def _drop(self) -> None:
        call, self._call, self._responses = self._call, None, None
        if call is not None:
            call.cancel()
