"""The connection to one server, and the calls that answer once.

It adds to the generated client what every caller would have to write: reading the address, trust, the token
on each call, keep-alive and typed errors. Calls are not repeated here: only the caller knows whether to wait.
Streams are `TaskRun`'s and `ArtifactRead`'s, which do go on by themselves.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from typing import Any

import grpc

from backspace import v1
from backspace.artifact import ArtifactRead
from backspace.errors import CallError, Origin, UnreachableError
from backspace.options import Options, parse_address
from backspace.reconnect import Interruption
from backspace.run import TaskRun
from backspace.v1.agent_service_pb2_grpc import AgentServiceStub


def connect(address: str, options: Options | None = None) -> Client:
    """Connects to a server: `https://host[:port]`, or `http://` or no scheme on this machine.

    Asks the server what it is, so that a wrong address or token fails at once and not in the middle of a run.
    """
    client = Client(address, options)
    try:
        client.server_info()
    except CallError as error:
        client.close()
        if error.origin is Origin.TRANSPORT and error.is_retryable:
            raise UnreachableError(client.address, error) from error
        raise
    except BaseException:
        client.close()
        raise
    return client


class Client:
    """A client of one server; makes its connection with the first call, and again when it is lost.

    Threads may share it.
    """

    def __init__(self, address: str, options: Options | None = None) -> None:
        self.address = address.strip()
        self.options = options or Options()
        self.metadata = self.options.metadata()
        """What each call of `stub` has to be given."""
        target, secure = parse_address(address, self.options.plaintext)
        arguments = self.options.channel_arguments()
        self._channel = (
            grpc.secure_channel(target, self.options.credentials(), options=arguments)
            if secure
            else grpc.insecure_channel(target, options=arguments)
        )
        self.stub = AgentServiceStub(self._channel)
        """The generated client, for a call made in one's own way."""

    def close(self) -> None:
        """Closes the connection; runs that use it end."""
        self._channel.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def run_task(
        self,
        spec: v1.TaskSpec,
        *,
        request_id: str | None = None,
        on_interruption: Callable[[Interruption], None] | None = None,
    ) -> TaskRun:
        """Runs a Task: an iterator over its events that goes on by itself when the connection is lost.

        A `request_id` of the caller's (a UUID), repeated, joins the first Task.
        """
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
        """Watches a Task, `tasks/{id}`, from after the sequence given; 0 is from the beginning."""
        return TaskRun(
            self,
            task=task,
            after_sequence=after_sequence,
            durable_only=durable_only,
            on_interruption=on_interruption,
        )

    def read_artifact(self, name: str) -> ArtifactRead:
        """Reads an artifact, `tasks/{id}/artifacts/{artifact}`, in pieces."""
        return ArtifactRead(self, name)

    def create_task(self, spec: v1.TaskSpec, *, request_id: str | None = None) -> v1.Task:
        """Starts a Task and returns at once."""
        request = v1.CreateTaskRequest(spec=spec, request_id=request_id or str(uuid.uuid4()))
        task: v1.Task = self._call(self.stub.CreateTask, request).task
        return task

    def get_task(self, name: str) -> v1.Task:
        """Returns a Task."""
        task: v1.Task = self._call(self.stub.GetTask, v1.GetTaskRequest(name=name)).task
        return task

    def list_tasks(self, *states: v1.Task.State.ValueType) -> Iterator[v1.Task]:
        """Iterates over the caller's Tasks, newest first, in one of the states or in any; page after page."""
        request = v1.ListTasksRequest(states=states)
        while True:
            response = self._call(self.stub.ListTasks, request)
            yield from response.tasks
            if not response.next_page_token:
                return
            request.page_token = response.next_page_token

    def cancel_task(self, name: str, reason: str = "") -> v1.Task:
        """Asks a Task to stop; it has stopped when its events end."""
        task: v1.Task = self._call(self.stub.CancelTask, v1.CancelTaskRequest(name=name, reason=reason)).task
        return task

    def send_message(
        self, name: str, text: str, *, request_id: str | None = None, include_review_comments: bool = False
    ) -> v1.Task:
        """Sends a message into a Task, and returns the Task that will act on it."""
        request = v1.SendMessageRequest(
            name=name,
            text=text,
            request_id=request_id or str(uuid.uuid4()),
            include_review_comments=include_review_comments,
        )
        task: v1.Task = self._call(self.stub.SendMessage, request).task
        return task

    def delete_task(self, name: str) -> None:
        """Deletes a terminal Task with its events and artifacts."""
        self._call(self.stub.DeleteTask, v1.DeleteTaskRequest(name=name))

    def server_info(self) -> v1.GetServerInfoResponse:
        """Returns what the server is and can do."""
        response: v1.GetServerInfoResponse = self._call(self.stub.GetServerInfo, v1.GetServerInfoRequest())
        return response

    def _call(self, method: Any, request: Any) -> Any:
        try:
            return method(request, timeout=self.options.call_timeout_seconds, metadata=self.metadata)
        except grpc.RpcError as error:
            raise CallError.of(error) from error
