"""How long to wait before a lost stream is opened again, and when to stop trying.

Half of each delay is random, so that the clients of a restarted server do not come back together.
"""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable

from backspace.errors import CallError, LostError


@dataclasses.dataclass(frozen=True)
class Reconnect:
    """When and for how long a lost stream is opened again."""

    initial_delay_seconds: float = 0.2
    """The first delay; each further one is twice as long."""
    longest_delay_seconds: float = 10.0
    give_up_after_seconds: float = 300.0
    """How long to try without hearing anything before giving up."""

    def delay_seconds(self, failures: int, asked_seconds: float | None, chance: float) -> float:
        """Returns the delay after so many failed tries, at least what the server asked for."""
        doubled = self.initial_delay_seconds * 2.0 ** min(max(failures - 1, 0), 30)
        own = min(doubled, self.longest_delay_seconds) * (0.5 + chance / 2)
        if asked_seconds is None:
            return own
        # On top of what was asked for, or all clients would be back at the same moment.
        return max(asked_seconds + self.initial_delay_seconds * chance, own)


@dataclasses.dataclass(frozen=True)
class Interruption:
    """The connection was lost and will be made again."""

    error: CallError
    failures: int
    """How many tries failed since the last event."""
    delay_seconds: float
    """How long until the next try."""


class Patience:
    """Counts the failures since something was last heard."""

    def __init__(self, reconnect: Reconnect, clock: Callable[[], float] = time.monotonic) -> None:
        self._reconnect = reconnect
        self._clock = clock
        self._failures = 0
        self._lost_since: float | None = None

    def heard(self) -> None:
        self._failures = 0
        self._lost_since = None

    def fail(self, error: CallError, *, task: str = "", last_sequence: int = 0) -> Interruption:
        """Says how long to wait; raises when the error is final or the time is up."""
        if not error.is_retryable:
            raise error
        self._failures += 1
        now = self._clock()
        if self._lost_since is None:
            self._lost_since = now
        lost_for = now - self._lost_since
        delay = self._reconnect.delay_seconds(self._failures, error.retry_after_seconds, random.random())
        if lost_for + delay > self._reconnect.give_up_after_seconds:
            raise LostError(task, last_sequence, lost_for, error) from error
        return Interruption(error, self._failures, delay)
