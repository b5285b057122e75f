/**
 * Puts live-only events together: text that is being written, output of a running command.
 *
 * Live-only events may be dropped and, on a new connection, may begin anywhere. Their offsets say where each belongs:
 * what came already is cut off, what is missing is counted.
 */
import type { TaskEvent } from "./v1.js";

/** What a live-only event adds. */
export interface Piece {
  /** Whose it is: `turn 3`, or `{callId} stdout`. */
  readonly source: string;
  /** The bytes to append; UTF-8 when the source is a turn. */
  readonly data: Uint8Array;
  /** How many bytes before `data` were never received. */
  readonly missingBytes: number;
  /** Whether what this source had is void: the model's answer is being written anew. */
  readonly replaces: boolean;
}

/** Follows the live-only events of one run. */
export class LiveOutput {
  readonly #places = new Map<string, { attempt: number; end: number }>();

  /** Returns what the event adds; undefined for another kind of event, and when it adds nothing. */
  take(event: TaskEvent): Piece | undefined {
    const { payload } = event;
    if (payload.case === "assistantDelta") {
      const { turn, attempt, offset, text } = payload.value;
      return this.#place(`turn ${turn}`, attempt, Number(offset), new TextEncoder().encode(text));
    }
    if (payload.case === "toolOutputDelta") {
      const { callId, offset, chunk } = payload.value;
      if (chunk.case !== undefined) {
        return this.#place(`${callId} ${chunk.case}`, 0, Number(offset), chunk.value);
      }
    }
    return undefined;
  }

  #place(source: string, attempt: number, offset: number, data: Uint8Array): Piece | undefined {
    const known = this.#places.get(source) ?? { attempt, end: 0 };
    if (attempt < known.attempt) {
      return undefined;
    }
    const replaces = attempt > known.attempt;
    const end = replaces ? 0 : known.end;
    const fresh = data.subarray(Math.min(Math.max(end - offset, 0), data.length));
    if (fresh.length === 0 && !replaces) {
      return undefined;
    }
    this.#places.set(source, { attempt, end: Math.max(end, offset + data.length) });
    return { source, data: fresh, missingBytes: Math.max(offset - end, 0), replaces };
  }
}
