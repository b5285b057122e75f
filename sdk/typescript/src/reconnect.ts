/**
 * How long to wait before a lost stream is opened again, and when to stop trying.
 *
 * Half of each delay is random, so that the clients of a restarted server do not come back together.
 */
import { type CallError, LostError } from "./errors.js";

/** When and for how long a lost stream is opened again. */
export interface Reconnect {
  /** The first delay, 200 by default; each further one is twice as long. */
  readonly initialDelayMs: number;
  /** The longest delay, 10 000 by default. */
  readonly longestDelayMs: number;
  /** How long to try without hearing anything before giving up, 300 000 by default. */
  readonly giveUpAfterMs: number;
}

/** The defaults of {@link Reconnect}. */
export const RECONNECT: Reconnect = { initialDelayMs: 200, longestDelayMs: 10_000, giveUpAfterMs: 300_000 };

/** The connection was lost and will be made again. */
export interface Interruption {
  readonly error: CallError;
  /** How many tries failed since the last event. */
  readonly failures: number;
  /** How long until the next try. */
  readonly delayMs: number;
}

/** Returns the delay after so many failed tries, at least what the server asked for. */
export function delayMs(reconnect: Reconnect, failures: number, askedMs: number | undefined, chance: number): number {
  const doubled = reconnect.initialDelayMs * 2 ** Math.min(Math.max(failures - 1, 0), 30);
  const own = Math.min(doubled, reconnect.longestDelayMs) * (0.5 + chance / 2);
  // On top of what was asked for, or all clients would be back at the same moment.
  return askedMs === undefined ? own : Math.max(askedMs + reconnect.initialDelayMs * chance, own);
}

/** Counts the failures since something was last heard. */
export class Patience {
  #failures = 0;
  #lostSinceMs: number | undefined;

  constructor(private readonly reconnect: Reconnect) {}

  heard(): void {
    this.#failures = 0;
    this.#lostSinceMs = undefined;
  }

  /** Says how long to wait; throws when the error is final or the time is up. */
  fail(error: CallError, task: string, lastSequence: bigint): Interruption {
    if (!error.isRetryable) {
      throw error;
    }
    this.#failures += 1;
    const nowMs = performance.now();
    this.#lostSinceMs ??= nowMs;
    const lostForMs = nowMs - this.#lostSinceMs;
    const delay = delayMs(this.reconnect, this.#failures, error.retryAfterMs, Math.random());
    if (lostForMs + delay > this.reconnect.giveUpAfterMs) {
      throw new LostError(task, lastSequence, lostForMs, error);
    }
    return { error, failures: this.#failures, delayMs: delay };
  }
}

/** Waits; ends early, without an error, when the signal is aborted. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
      return;
    }
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
