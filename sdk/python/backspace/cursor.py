"""Where a run is in its Task's log, and what each thing that happens to its stream means. No input or output.

A run that has no name yet sends RunTask again under the same request id, which joins the Task if the first
call made one; a run with a name goes on with WatchTask after the last durable event. Every durable event is
checked against the one before: a repeat is dropped, a hole is never passed on. Live-only events pass through
as they come and may be lost. Both kinds of client follow this one.
"""

from __future__ import annotations

import grpc

from backspace import v1
from backspace.errors import CallError, ContractError, Origin
from backspace.reconnect import Interruption, Patience, Reconnect

_MAX_HOLES = 3
"""Tries at the same place before a hole in the sequence is taken for the server's fault."""

_TERMINAL = (v1.Task.STATE_SUCCEEDED, v1.Task.STATE_FAILED, v1.Task.STATE_CANCELLED)


class Cursor:
    def __init__(self, reconnect: Reconnect, task: str = "", last_sequence: int = 0) -> None:
        self.task = task
        self.last_sequence = last_sequence
        self.ended = False
        self._patience = Patience(reconnect)
        self._holes = 0
        self._silent = True

    def opened(self) -> None:
        """A stream was opened."""
        self._silent = True

    def accept(self, task: str, event: v1.TaskEvent | None) -> v1.TaskEvent | None:
        """Takes a response in; returns the event to deliver, if it is one. A CallError is for `fail`."""
        if not self.task:
            if not task:
                self.ended = True
                raise ContractError("the first response of RunTask names no task")
            self.task = task
        if event is None:
            return None
        if event.sequence == 0:
            self._heard()
            return event
        expected = self.last_sequence + 1
        if event.sequence < expected:
            return None
        if event.sequence > expected:
            self._hole(expected, event.sequence)
        self._heard()
        self._holes = 0
        self.last_sequence = event.sequence
        self.ended = event.WhichOneof("payload") == "task_finished"
        return event

    def closed_in_silence(self) -> bool:
        """The server closed the stream: whether to ask for the Task, since perhaps nothing more is to come."""
        if self.task and self._silent:
            return True
        raise _transport_fault("the stream ended before the task did")

    def answered(self, task: v1.Task) -> None:
        """The Task that was asked for after a silent stream."""
        if task.state not in _TERMINAL or task.last_sequence > self.last_sequence:
            raise _transport_fault("the stream ended before the task did")
        self.ended = True

    def fail(self, error: CallError) -> Interruption:
        """Decides what a failure means: how long to wait, or the end with an error."""
        # A refused RunTask is the caller's to see at once, also when it may be repeated later: a rate limit
        # is an answer. An unavailable server is not.
        refused = (
            not self.task and error.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error.origin is Origin.SERVER
        )
        try:
            if refused:
                raise error
            return self._patience.fail(error, task=self.task, last_sequence=self.last_sequence)
        except Exception:
            self.ended = True
            raise

    def _heard(self) -> None:
        self._patience.heard()
        self._silent = False

    def _hole(self, expected: int, found: int) -> None:
        """An event is missing: ask again for what comes after the last one, a few times."""
        self._holes += 1
        if self._holes > _MAX_HOLES:
            self.ended = True
            raise ContractError(f"event {found} came where event {expected} should, {_MAX_HOLES} times")
        raise _transport_fault(f"event {expected} was left out of the stream")


def _transport_fault(message: str) -> CallError:
    return CallError(grpc.StatusCode.UNAVAILABLE, message)
