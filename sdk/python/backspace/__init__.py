"""Python SDK of Backspace, a self-hosted coding agent: one sentence in, one pull request out.

    import backspace
    from backspace import v1

    with backspace.connect("http://127.0.0.1:8000") as client:
        spec = v1.TaskSpec(instruction="Fix the failing test")
        spec.repository.url = "https://github.com/owner/name"
        for event in client.run_task(spec):
            print(event.WhichOneof("payload"))

A lost connection is made again and the iteration goes on where it was, each durable event exactly once.
`backspace.aio` has the same for asyncio; the generated messages are in `backspace.v1`.
"""

from backspace.artifact import ArtifactRead
from backspace.client import Client, connect
from backspace.errors import (
    ERROR_DOMAIN,
    AddressError,
    BackspaceError,
    CallError,
    ContractError,
    FieldViolation,
    LostError,
    Origin,
    UnreachableError,
)
from backspace.live import LiveOutput, Piece
from backspace.options import Options
from backspace.reconnect import Interruption, Reconnect
from backspace.run import TaskRun

__version__ = "0.1.0"
__all__ = [
    "ERROR_DOMAIN",
    "AddressError",
    "ArtifactRead",
    "BackspaceError",
    "CallError",
    "Client",
    "ContractError",
    "FieldViolation",
    "Interruption",
    "LiveOutput",
    "LostError",
    "Options",
    "Origin",
    "Piece",
    "Reconnect",
    "TaskRun",
    "UnreachableError",
    "connect",
]
