/**
 * A Task's events as one stream that outlives connections.
 *
 * The connection may break at any byte. A run that has no name yet sends RunTask again under the same request id,
 * which joins the Task if the first call made one; a run with a name goes on with WatchTask after the last durable
 * event. Every durable event is checked against the one before: a repeat is dropped, a hole is never passed on.
 * Live-only events pass through as they come and may be lost.
 */
import type { Client as RawClient } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import { CallError, ContractError } from "./errors.js";
import { type Interruption, Patience, type Reconnect, wait } from "./reconnect.js";
import { type AgentService, type RunTaskRequest, type Task, type TaskEvent, Task_State } from "./v1.js";

/** Tries at the same place before a hole in the sequence is taken for the server's fault. */
const MAX_HOLES = 3;

const TERMINAL: ReadonlySet<Task_State> = new Set([Task_State.SUCCEEDED, Task_State.FAILED, Task_State.CANCELLED]);

/** What a run is made of. */
export interface RunParts {
  readonly raw: RawClient<typeof AgentService>;
  readonly getTask: (name: string, signal: AbortSignal) => Promise<Task>;
  readonly reconnect: Reconnect;
  readonly opening?: RunTaskRequest;
  readonly task?: string;
  readonly afterSequence?: bigint;
  readonly durableOnly?: boolean;
  readonly signal?: AbortSignal | undefined;
  readonly onInterruption?: ((interruption: Interruption) => void) | undefined;
}

/** A Task being followed: iterate over it with `for await`. Leaving the loop stops following; the Task goes on. */
export class TaskRun implements AsyncIterableIterator<TaskEvent> {
  readonly #parts: RunParts;
  readonly #patience: Patience;
  readonly #closing = new AbortController();
  readonly #events: AsyncGenerator<TaskEvent, undefined>;
  #task: string;
  #lastSequence: bigint;
  #holes = 0;
  #silent = true;
  #ended = false;

  /** Made by `Client.runTask` and `Client.watch`. */
  constructor(parts: RunParts) {
    this.#parts = parts;
    this.#patience = new Patience(parts.reconnect);
    this.#task = parts.task ?? "";
    this.#lastSequence = parts.afterSequence ?? 0n;
    this.#events = this.#follow();
  }

  /** The Task's name, `tasks/{id}`; known from the first event on, empty before. */
  get task(): string {
    return this.#task;
  }

  /** The last durable event that was delivered: where another watcher could go on. */
  get lastSequence(): bigint {
    return this.#lastSequence;
  }

  next(): Promise<IteratorResult<TaskEvent, undefined>> {
    return this.#events.next();
  }

  /** Stops following; the Task goes on. */
  return(): Promise<IteratorResult<TaskEvent, undefined>> {
    this.#closing.abort();
    return this.#events.return(undefined);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async *#follow(): AsyncGenerator<TaskEvent, undefined> {
    const signal = this.#parts.signal ? AbortSignal.any([this.#parts.signal, this.#closing.signal]) : this.#closing.signal;
    while (!this.#ended) {
      try {
        yield* this.#stream(signal);
      } catch (error) {
        this.#parts.signal?.throwIfAborted();
        if (signal.aborted) {
          return undefined;
        }
        if (error instanceof ContractError) {
          throw error;
        }
        const interruption = this.#fail(CallError.of(error));
        this.#parts.onInterruption?.(interruption);
        await wait(interruption.delayMs, signal);
      }
    }
    return undefined;
  }

  /** One stream, from its opening to its end. */
  async *#stream(signal: AbortSignal): AsyncGenerator<TaskEvent, void> {
    this.#silent = true;
    // Closed by whoever leaves this function, also by the end of the iteration.
    const stream = new AbortController();
    const either = AbortSignal.any([signal, stream.signal]);
    try {
      for await (const response of this.#open(either)) {
        signal.throwIfAborted();
        const event = this.#accept("task" in response ? response.task : "", response.event);
        if (event) {
          yield event;
        }
        if (this.#ended) {
          return;
        }
      }
    } finally {
      stream.abort();
    }
    signal.throwIfAborted();
    if (this.#task !== "" && this.#silent) {
      // Perhaps there is nothing more to come.
      const task = await this.#parts.getTask(this.#task, signal);
      this.#ended = TERMINAL.has(task.state) && task.lastSequence <= this.#lastSequence;
    }
    if (!this.#ended) {
      throw transportFault("the stream ended before the task did");
    }
  }

  #open(signal: AbortSignal) {
    if (this.#task === "") {
      return this.#parts.raw.runTask(this.#parts.opening ?? {}, { signal });
    }
    return this.#parts.raw.watchTask(
      { name: this.#task, afterSequence: this.#lastSequence, durableOnly: this.#parts.durableOnly ?? false },
      { signal },
    );
  }

  /** Takes a response in; returns the event to deliver, if it is one. */
  #accept(task: string, event: TaskEvent | undefined): TaskEvent | undefined {
    if (this.#task === "") {
      if (task === "") {
        throw new ContractError("the first response of RunTask names no task");
      }
      this.#task = task;
    }
    if (!event) {
      return undefined;
    }
    if (event.sequence === 0n) {
      this.#heard();
      return event;
    }
    const expected = this.#lastSequence + 1n;
    if (event.sequence < expected) {
      return undefined;
    }
    if (event.sequence > expected) {
      // An event is missing: ask again for what comes after the last one, a few times.
      this.#holes += 1;
      if (this.#holes > MAX_HOLES) {
        throw new ContractError(`event ${event.sequence} came where event ${expected} should, ${MAX_HOLES} times`);
      }
      throw transportFault(`event ${expected} was left out of the stream`);
    }
    this.#heard();
    this.#holes = 0;
    this.#lastSequence = event.sequence;
    this.#ended = event.payload.case === "taskFinished";
    return event;
  }

  #heard(): void {
    this.#patience.heard();
    this.#silent = false;
  }

  /** Decides what a failure means: how long to wait, or the end with an error. */
  #fail(error: CallError): Interruption {
    // A refused RunTask is the caller's to see at once, also when it may be repeated later: a rate limit is an answer.
    // An unavailable server is not.
    if (this.#task === "" && error.code === Code.ResourceExhausted && error.origin === "server") {
      throw error;
    }
    return this.#patience.fail(error, this.#task, this.#lastSequence);
  }
}

function transportFault(message: string): CallError {
  return new CallError(new ConnectError(message, Code.Unavailable));
}
