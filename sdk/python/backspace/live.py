"""Puts live-only events together: text that is being written, output of a running command.

Live-only events may be dropped and, on a new connection, may begin anywhere. Their offsets say where each
belongs: what came already is cut off, what is missing is counted.
"""

from __future__ import annotations

import dataclasses

from backspace import v1


@dataclasses.dataclass(frozen=True)
class Piece:
    """What a live-only event adds."""

    source: str
    """Whose it is: `turn 3`, or `{call_id} stdout`."""
    data: bytes
    """The bytes to append; UTF-8 when the source is a turn."""
    missing_bytes: int
    """How many bytes before `data` were never received."""
    replaces: bool
    """Whether what this source had is void: the model's answer is being written anew."""


class LiveOutput:
    """Follows the live-only events of one run."""

    def __init__(self) -> None:
        self._places: dict[str, tuple[int, int]] = {}

    def take(self, event: v1.TaskEvent) -> Piece | None:
        """Returns what the event adds; None for another kind of event, and when it adds nothing."""
        kind = event.WhichOneof("payload")
        if kind == "assistant_delta":
            text = event.assistant_delta
            return self._place(f"turn {text.turn}", text.attempt, text.offset, text.text.encode())
        if kind == "tool_output_delta":
            output = event.tool_output_delta
            stream = output.WhichOneof("chunk")
            if stream is not None:
                data = output.stdout if stream == "stdout" else output.stderr
                return self._place(f"{output.call_id} {stream}", 0, output.offset, data)
        return None

    def _place(self, source: str, attempt: int, offset: int, data: bytes) -> Piece | None:
        known, place = self._places.get(source, (attempt, 0))
        if attempt < known:
            return None
        replaces = attempt > known
        if replaces:
            place = 0
        fresh = data[max(place - offset, 0) :]
        if not fresh and not replaces:
            return None
        self._places[source] = (attempt, max(place, offset + len(data)))
        return Piece(source, fresh, max(offset - place, 0), replaces)
