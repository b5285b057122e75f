"""A server of the contract for tests: one Task whose log is given, and streams that go wrong as told."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import error_details_pb2, status_pb2

from backspace import ERROR_DOMAIN, v1
from backspace.v1.agent_service_pb2_grpc import AgentServiceServicer, add_AgentServiceServicer_to_server

TASK = "tasks/t1"
ARTIFACT = b"".join(number.to_bytes(4, "big") for number in range(25_000))


@dataclass
class Ending:
    """How one stream goes: how many events come, what it ends with, which one is left out, what is asked for or all."""

    after: int | None = None
    code: grpc.StatusCode | None = None
    message: str = ""
    details: list = field(default_factory=list)
    left_out: int | None = None
    from_start: bool = False


def closed(after: int) -> Ending:
    return Ending(after=after)


def failed(after: int, code: grpc.StatusCode = grpc.StatusCode.INTERNAL) -> Ending:
    return Ending(after=after, code=code, message="connection reset")


def of_the_server(
    code: grpc.StatusCode, retry_after_ms: int | None = None, after: int = 0, violations=(), domain: str = ERROR_DOMAIN
) -> Ending:
    details = [error_details_pb2.ErrorInfo(reason="REASON_X", domain=domain, metadata={"key": "value"})]
    if retry_after_ms is not None:
        delay = duration_pb2.Duration(nanos=retry_after_ms * 1_000_000)
        details.append(error_details_pb2.RetryInfo(retry_delay=delay))
    if violations:
        fields = [error_details_pb2.BadRequest.FieldViolation(field=f, description=d) for f, d in violations]
        details.append(error_details_pb2.BadRequest(field_violations=fields))
    return Ending(after=after, code=code, message="no", details=details)


def log(length: int) -> list[v1.TaskEvent]:
    """A log of so many events, the last of them TaskFinished; texts of different sizes in between."""
    events = [
        v1.TaskEvent(sequence=n, assistant_message=v1.AssistantMessage(text="x" * (n * 37 % 900)))
        for n in range(1, length)
    ]
    finished = v1.TaskFinished(task=v1.Task(name=TASK, state=v1.Task.STATE_SUCCEEDED, last_sequence=length))
    return [*events, v1.TaskEvent(sequence=length, task_finished=finished)]


def live(text: str, offset: int = 0) -> v1.TaskEvent:
    return v1.TaskEvent(assistant_delta=v1.AssistantDelta(turn=1, attempt=1, text=text, offset=offset))


class Fake(AgentServiceServicer):
    """Serves on a free port of this machine while in a `with`; `calls` has what was asked, in order."""

    def __init__(self, events: list[v1.TaskEvent], *endings: Ending) -> None:
        self.events = events
        self.calls: list[tuple] = []
        self.headers: list[dict] = []
        self._endings = list(endings)
        self._lock = threading.Lock()
        self._server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        add_AgentServiceServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"

    def __enter__(self) -> Fake:
        self._server.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.stop(0).wait()

    def _begin(self, context, *call) -> Ending:
        with self._lock:
            self.calls.append(call)
            self.headers.append(dict(context.invocation_metadata()))
            return self._endings.pop(0) if self._endings else Ending()

    def _stream(self, context, ending: Ending, after_sequence: int) -> Iterator[v1.TaskEvent]:
        after_sequence = 0 if ending.from_start else after_sequence
        rest = [e for e in self.events if e.sequence == 0 or e.sequence > after_sequence]
        if ending.left_out is not None:
            rest = [e for e in rest if e.sequence != ending.left_out]
        yield from rest[: ending.after]
        self._end(context, ending)

    def _end(self, context, ending: Ending) -> None:
        if ending.code is None:
            return
        if ending.details:
            details = []
            for message in ending.details:
                detail = any_pb2.Any()
                detail.Pack(message)
                details.append(detail)
            status = status_pb2.Status(code=ending.code.value[0], message=ending.message, details=details)
            context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(ending.code, ending.message)

    def RunTask(self, request, context):
        ending = self._begin(context, "run", request.request_id)
        name = TASK
        for event in self._stream(context, ending, 0):
            yield v1.RunTaskResponse(task=name, event=event)
            name = ""

    def WatchTask(self, request, context):
        ending = self._begin(context, "watch", request.after_sequence)
        for event in self._stream(context, ending, request.after_sequence):
            yield v1.WatchTaskResponse(event=event)

    def GetTask(self, request, context):
        self._end(context, self._begin(context, "get"))
        return v1.GetTaskResponse(task=self.events[-1].task_finished.task)

    def CancelTask(self, request, context):
        self._end(context, self._begin(context, "cancel", request.reason))
        return v1.CancelTaskResponse(task=v1.Task(name=request.name, cancel_requested=True))

    def ListTasks(self, request, context):
        self._end(context, self._begin(context, "list", request.page_token))
        if not request.page_token:
            return v1.ListTasksResponse(tasks=[v1.Task(name="tasks/b")], next_page_token="more")
        return v1.ListTasksResponse(tasks=[v1.Task(name="tasks/a")])

    def GetServerInfo(self, request, context):
        self._end(context, self._begin(context, "info"))
        return v1.GetServerInfoResponse(version="1")

    def ReadArtifact(self, request, context):
        ending = self._begin(context, "read", request.offset)
        pieces = range(request.offset, len(ARTIFACT), 1_000)
        for start in pieces[: ending.after]:
            yield v1.ReadArtifactResponse(data=ARTIFACT[start : start + 1_000])
        self._end(context, ending)
