"""What can go wrong for a caller, by what the caller does about it.

An answer of the server is told from a fault of the connection by its `google.rpc.ErrorInfo`: every failed
call of this contract carries one with the domain `backspace`, and no proxy, reset or broken connection does.
The code alone can't tell: an HTTP/2 reset is INTERNAL too.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

ERROR_DOMAIN = "backspace"
"""`google.rpc.ErrorInfo.domain` of every error that the server itself made."""

_DETAILS_KEY = "grpc-status-details-bin"


class BackspaceError(Exception):
    """The base of everything that this package raises."""


class AddressError(BackspaceError, ValueError):
    """The address, the token or another option can't be used."""


class ContractError(BackspaceError):
    """The server broke the contract."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the server broke the contract: {reason}")


class Origin(enum.Enum):
    """Who made an error."""

    SERVER = "server"
    """The Backspace server: it has an ErrorInfo of our domain."""
    TRANSPORT = "transport"
    """The connection, a proxy, or another kind of server."""


@dataclasses.dataclass(frozen=True)
class FieldViolation:
    """A field that was refused."""

    field: str
    """Path of the field in the request: `spec.repository.url`."""
    description: str
    """What is wrong with it."""


_FINAL_FROM_TRANSPORT = frozenset({
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAUTHENTICATED,
})


class CallError(BackspaceError):
    """A call that failed: the server's answer, or a fault of the connection."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: dict[str, str] | None = None,
        violations: tuple[FieldViolation, ...] = (),
        retry_after_seconds: float | None = None,
        origin: Origin = Origin.TRANSPORT,
    ) -> None:
        text = message or code.name.lower().replace("_", " ")
        super().__init__("; ".join([text, *(f"{v.field}: {v.description}" for v in violations)]))
        self.code = code
        self.message = message
        self.reason = reason
        """For a program: the words of `Failure.Reason` where they apply. Empty without an ErrorInfo."""
        self.metadata = metadata or {}
        """What the ErrorInfo says beside the reason."""
        self.violations = violations
        """Every field that was refused."""
        self.retry_after_seconds = retry_after_seconds
        """How long the server asks to be left alone."""
        self.origin = origin

    @property
    def is_retryable(self) -> bool:
        """Whether the same call may be answered otherwise a moment later."""
        if self.origin is Origin.SERVER:
            return self.code is grpc.StatusCode.UNAVAILABLE or self.retry_after_seconds is not None
        return self.code not in _FINAL_FROM_TRANSPORT

    @classmethod
    def of(cls, error: grpc.RpcError) -> CallError:
        """Reads what gRPC raised."""
        # Both kinds of client raise objects with these methods; the base class does not promise them.
        failed: Any = error
        reason, metadata, violations, retry_after, origin = "", {}, [], None, Origin.TRANSPORT
        for detail in _details(failed.trailing_metadata()):
            if detail.Is(error_details_pb2.ErrorInfo.DESCRIPTOR):
                info = error_details_pb2.ErrorInfo.FromString(detail.value)
                if info.domain == ERROR_DOMAIN:
                    reason, metadata, origin = info.reason, dict(info.metadata), Origin.SERVER
            elif detail.Is(error_details_pb2.BadRequest.DESCRIPTOR):
                request = error_details_pb2.BadRequest.FromString(detail.value)
                violations = [FieldViolation(v.field, v.description) for v in request.field_violations]
            elif detail.Is(error_details_pb2.RetryInfo.DESCRIPTOR):
                delay = error_details_pb2.RetryInfo.FromString(detail.value).retry_delay
                retry_after = delay.seconds + delay.nanos / 1e9
        return cls(
            failed.code(),
            failed.details() or "",
            reason=reason,
            metadata=metadata,
            violations=tuple(violations),
            retry_after_seconds=retry_after,
            origin=origin,
        )


class UnreachableError(BackspaceError):
    """Nothing answers at the address."""

    def __init__(self, address: str, cause: CallError) -> None:
        super().__init__(f"no Backspace server can be reached at {address}: {cause}")
        self.address = address
        self.cause = cause


class LostError(BackspaceError):
    """The connection was lost and could not be made again in time; the Task goes on without us."""

    def __init__(self, task: str, last_sequence: int, lost_for_seconds: float, cause: CallError) -> None:
        super().__init__(f"the connection was lost and could not be made again in {lost_for_seconds:.0f} s: {cause}")
        self.task = task
        """The Task's name, empty if the server had not told it."""
        self.last_sequence = last_sequence
        """The last durable event that was delivered: where `Client.watch` can go on."""
        self.lost_for_seconds = lost_for_seconds
        self.cause = cause


def _details(trailing_metadata: Any) -> list[Any]:
    for key, value in trailing_metadata or ():
        if key == _DETAILS_KEY:
            try:
                return list(status_pb2.Status.FromString(value).details)
            except DecodeError:
                # Not worth another error: the code and the message are there.
                return []
    return []
