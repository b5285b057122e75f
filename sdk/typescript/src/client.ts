/**
 * The calls to one server, over whatever transport it was made with.
 *
 * It adds to the generated client what every caller would have to write: request ids, time limits and typed errors.
 * Calls are not repeated here: only the caller knows whether to wait. A run and an artifact do go on by themselves.
 */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Client as RawClient, createClient, type Transport } from "@connectrpc/connect";
import { BackspaceError, CallError, ContractError, UnreachableError } from "./errors.js";
import { type Interruption, Patience, RECONNECT, type Reconnect, wait } from "./reconnect.js";
import { TaskRun } from "./run.js";
import {
  AgentService,
  type GetServerInfoResponse,
  RunTaskRequestSchema,
  type SendMessageRequestSchema,
  type Task,
  type Task_State,
  type TaskSpecSchema,
} from "./v1.js";

/** How a client behaves, whatever its transport. */
export interface ClientOptions {
  /** Longest time for a call that answers once, 30 000 by default. */
  readonly callTimeoutMs?: number;
  /** When and for how long lost streams are opened again. */
  readonly reconnect?: Partial<Reconnect>;
}

/** Options of every call. */
export interface CallOptions {
  /** Ends the call. */
  readonly signal?: AbortSignal;
}

/** Options of following a Task. */
export interface WatchOptions extends CallOptions {
  /** Leaves out live-only events where the server can: in watching, not on a fresh run. */
  readonly durableOnly?: boolean;
  /** Called each time the connection is lost and will be made again. */
  readonly onInterruption?: (interruption: Interruption) => void;
}

/** Options of running a Task. */
export interface RunOptions extends WatchOptions {
  /** A UUID: repeated, it joins the first Task. Chosen when there is none. */
  readonly requestId?: string;
}

/** A client of one server. */
export class Client {
  /** The generated client, for a call made in one's own way. */
  readonly raw: RawClient<typeof AgentService>;
  readonly #callTimeoutMs: number;
  readonly #reconnect: Reconnect;

  /** `connect` of `@backspace-dev/sdk/node` or `/web` makes the transport. */
  constructor(transport: Transport, options: ClientOptions = {}) {
    this.raw = createClient(AgentService, transport);
    this.#callTimeoutMs = options.callTimeoutMs ?? 30_000;
    this.#reconnect = { ...RECONNECT, ...options.reconnect };
  }

  /** Runs a Task: its events, which go on by themselves when the connection is lost. */
  runTask(spec: MessageInitShape<typeof TaskSpecSchema>, options: RunOptions = {}): TaskRun {
    const opening = create(RunTaskRequestSchema, { spec, requestId: options.requestId ?? newRequestId() });
    return new TaskRun({ ...this.#runParts(options), opening });
  }

  /** Watches a Task, `tasks/{id}`, from after the sequence given; 0 is from the beginning. */
  watch(task: string, afterSequence: bigint | number = 0n, options: WatchOptions = {}): TaskRun {
    return new TaskRun({ ...this.#runParts(options), task, afterSequence: BigInt(afterSequence) });
  }

  /**
   * Reads an artifact, `tasks/{id}/artifacts/{artifact}`, in pieces: the whole patch, a tool's output, the log.
   *
   * A lost connection is opened again at the byte reached. The bytes come as they were stored: whoever shows them on a
   * terminal or page has to escape them.
   */
  async *readArtifact(name: string, options: CallOptions = {}): AsyncGenerator<Uint8Array, void> {
    const patience = new Patience(this.#reconnect);
    const stream = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stream.signal]) : stream.signal;
    let offset = 0n;
    try {
      for (;;) {
        try {
          for await (const { data } of this.raw.readArtifact({ name, offset }, { signal })) {
            offset += BigInt(data.length);
            patience.heard();
            if (data.length > 0) {
              yield data;
            }
          }
          return;
        } catch (error) {
          options.signal?.throwIfAborted();
          await wait(patience.fail(CallError.of(error), "", 0n).delayMs, signal);
        }
      }
    } finally {
      stream.abort();
    }
  }

  /** Reads a whole artifact as text, at most so many bytes; more is an error. */
  async readArtifactText(name: string, limitBytes: number, options: CallOptions = {}): Promise<string> {
    const decoder = new TextDecoder();
    let [text, bytes] = ["", 0];
    for await (const data of this.readArtifact(name, options)) {
      bytes += data.length;
      if (bytes > limitBytes) {
        throw new BackspaceError(`${name} is longer than the ${limitBytes} bytes allowed for here`);
      }
      text += decoder.decode(data, { stream: true });
    }
    return text + decoder.decode();
  }

  /** Starts a Task and returns at once. */
  async createTask(
    spec: MessageInitShape<typeof TaskSpecSchema>,
    options: CallOptions & { readonly requestId?: string } = {},
  ): Promise<Task> {
    const request = { spec, requestId: options.requestId ?? newRequestId() };
    return present((await this.#call(this.raw.createTask, request, options)).task, "CreateTask");
  }

  /** Returns a Task. */
  async getTask(name: string, options: CallOptions = {}): Promise<Task> {
    return present((await this.#call(this.raw.getTask, { name }, options)).task, "GetTask");
  }

  /** Iterates over the caller's Tasks, newest first, in one of the states or in any; page after page. */
  async *listTasks(states: Task_State[] = [], options: CallOptions = {}): AsyncGenerator<Task, void> {
    let pageToken = "";
    do {
      const page = await this.#call(this.raw.listTasks, { states, pageToken }, options);
      yield* page.tasks;
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
  }

  /** Asks a Task to stop; it has stopped when its events end. */
  async cancelTask(name: string, reason = "", options: CallOptions = {}): Promise<Task> {
    return present((await this.#call(this.raw.cancelTask, { name, reason }, options)).task, "CancelTask");
  }

  /** Sends a message into a Task, and returns the Task that will act on it. A request id is filled in. */
  async sendMessage(
    message: MessageInitShape<typeof SendMessageRequestSchema>,
    options: CallOptions = {},
  ): Promise<Task> {
    const request = { requestId: newRequestId(), ...message };
    return present((await this.#call(this.raw.sendMessage, request, options)).task, "SendMessage");
  }

  /** Deletes a terminal Task with its events and artifacts. */
  async deleteTask(name: string, options: CallOptions = {}): Promise<void> {
    await this.#call(this.raw.deleteTask, { name }, options);
  }

  /** Returns what the server is and can do. */
  async serverInfo(options: CallOptions = {}): Promise<GetServerInfoResponse> {
    return this.#call(this.raw.getServerInfo, {}, options);
  }

  async #call<Request, Response>(
    method: (request: Request, options: { timeoutMs: number; signal?: AbortSignal }) => Promise<Response>,
    request: Request,
    options: CallOptions,
  ): Promise<Response> {
    try {
      return await method(request, {
        timeoutMs: this.#callTimeoutMs,
        ...(options.signal && { signal: options.signal }),
      });
    } catch (error) {
      options.signal?.throwIfAborted();
      throw CallError.of(error);
    }
  }

  #runParts(options: WatchOptions) {
    return {
      raw: this.raw,
      getTask: (name: string, signal: AbortSignal) => this.getTask(name, { signal }),
      reconnect: this.#reconnect,
      durableOnly: options.durableOnly ?? false,
      signal: options.signal,
      onInterruption: options.onInterruption,
    };
  }
}

/** Asks the server what it is, so that a wrong address or token fails at once and not in the middle of a run. */
export async function greet(client: Client, address: string): Promise<Client> {
  try {
    await client.serverInfo();
  } catch (error) {
    if (error instanceof CallError && error.origin === "transport" && error.isRetryable) {
      throw new UnreachableError(address, error);
    }
    throw error;
  }
  return client;
}

function present(task: Task | undefined, call: string): Task {
  if (!task) {
    throw new ContractError(`${call} answered without a task`);
  }
  return task;
}

function newRequestId(): string {
  if (typeof crypto.randomUUID === "function") {
    return crypto.randomUUID();
  }
  // A page that came over plain http from another machine has no randomUUID.
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const digits = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return digits.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
