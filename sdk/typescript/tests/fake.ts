/** A server of the contract for tests: one Task whose log is given, and streams that go wrong as told. */
import http from "node:http";
import http2 from "node:http2";
import type { AddressInfo } from "node:net";
import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter, type HandlerContext } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { TestContext } from "node:test";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../src/generated/google/rpc/error_details_pb.js";
import { type Client, ERROR_DOMAIN, type Reconnect, v1 } from "../src/index.js";
import * as node from "../src/node.js";
import * as web from "../src/web.js";

export const TASK = "tasks/t1";
export const ARTIFACT = new Uint8Array(100_000).map((_, index) => (index >> (8 * (3 - (index % 4)))) & 0xff);
export const IMPATIENT: Partial<Reconnect> = { initialDelayMs: 0.1, longestDelayMs: 1, giveUpAfterMs: 30_000 };

/** How one stream goes: how many events come, what it ends with, which one is left out, whether all come again. */
export interface Ending {
  readonly after?: number;
  readonly error?: ConnectError;
  readonly leftOut?: bigint;
  readonly fromStart?: boolean;
}

export const closed = (after: number): Ending => ({ after });
export const failed = (after: number, code = Code.Internal): Ending => ({
  after,
  error: new ConnectError("connection reset", code),
});

export function ofTheServer(
  code: Code,
  retryAfterMs?: number,
  violations: [string, string][] = [],
  domain = ERROR_DOMAIN,
): ConnectError {
  const info = { reason: "REASON_X", domain, metadata: { key: "value" } };
  return new ConnectError("no", code, undefined, [
    { desc: ErrorInfoSchema, value: info },
    ...(retryAfterMs === undefined
      ? []
      : [{ desc: RetryInfoSchema, value: { retryDelay: { seconds: 0n, nanos: retryAfterMs * 1e6 } } }]),
    ...(violations.length === 0
      ? []
      : [
          {
            desc: BadRequestSchema,
            value: { fieldViolations: violations.map(([field, description]) => ({ field, description })) },
          },
        ]),
  ]);
}

/** A log of so many events, the last of them TaskFinished; texts of different sizes in between. */
export function log(length: number): v1.TaskEvent[] {
  return Array.from({ length }, (_, index) => {
    const sequence = BigInt(index + 1);
    if (index + 1 < length) {
      const value = create(v1.AssistantMessageSchema, { text: "x".repeat(((index + 1) * 37) % 900) });
      return create(v1.TaskEventSchema, { sequence, payload: { case: "assistantMessage", value } });
    }
    const task = { name: TASK, state: v1.Task_State.SUCCEEDED, lastSequence: sequence };
    const value = create(v1.TaskFinishedSchema, { task });
    return create(v1.TaskEventSchema, { sequence, payload: { case: "taskFinished", value } });
  });
}

export function live(text: string, offset = 0, attempt = 1): v1.TaskEvent {
  const value = create(v1.AssistantDeltaSchema, { turn: 1, attempt, text, offset: BigInt(offset) });
  return create(v1.TaskEventSchema, { payload: { case: "assistantDelta", value } });
}

export class Fake {
  readonly calls: string[] = [];
  readonly headers: Headers[] = [];
  address = "";
  readonly #events: v1.TaskEvent[];
  readonly #endings: Ending[];

  constructor(events: v1.TaskEvent[], ...endings: Ending[]) {
    this.#events = events;
    this.#endings = endings;
  }

  /** Serves on a free port of this machine until the test ends; over HTTP/2, or over HTTP/1.1 as `fetch` needs it. */
  async serve(context: TestContext, protocol: "grpc" | "grpc-web"): Promise<this> {
    const handler = connectNodeAdapter({ routes: (router) => this.#routes(router) });
    const sessions = new Set<http2.ServerHttp2Session>();
    const server = protocol === "grpc" ? http2.createServer(handler) : http.createServer(handler);
    server.on("session", (session: http2.ServerHttp2Session) => sessions.add(session));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    context.after(() => {
      server.close();
      sessions.forEach((session) => session.destroy());
      if (server instanceof http.Server) {
        server.closeAllConnections();
      }
    });
    this.address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    return this;
  }

  #begin(context: HandlerContext, call: string): Ending {
    this.calls.push(call);
    this.headers.push(context.requestHeader);
    return this.#endings.shift() ?? {};
  }

  *#stream(ending: Ending, afterSequence: bigint): Generator<v1.TaskEvent> {
    const rest = this.#events.filter(
      ({ sequence }) => sequence === 0n || (sequence > (ending.fromStart ? 0n : afterSequence) && sequence !== ending.leftOut),
    );
    yield* rest.slice(0, ending.after);
    if (ending.error) {
      throw ending.error;
    }
  }

  #once<T>(context: HandlerContext, call: string, answer: T): T {
    const { error } = this.#begin(context, call);
    if (error) {
      throw error;
    }
    return answer;
  }

  #routes(router: ConnectRouter): ConnectRouter {
    const fake = this;
    return router.service(v1.AgentService, {
      async *runTask(request, context) {
        let task = TASK;
        for (const event of fake.#stream(fake.#begin(context, `run ${request.requestId}`), 0n)) {
          yield { task, event };
          task = "";
        }
      },
      async *watchTask({ afterSequence }, context) {
        for (const event of fake.#stream(fake.#begin(context, `watch ${afterSequence}`), afterSequence)) {
          yield { event };
        }
      },
      async *readArtifact({ offset }, context) {
        const ending = fake.#begin(context, `read ${offset}`);
        let sent = 0;
        for (let at = Number(offset); at < ARTIFACT.length && sent !== ending.after; at += 1_000) {
          yield { data: ARTIFACT.subarray(at, at + 1_000) };
          sent += 1;
        }
        if (ending.error) {
          throw ending.error;
        }
      },
      getTask(_, context) {
        const last = fake.#events.at(-1)?.payload;
        const task = last?.case === "taskFinished" ? last.value.task : undefined;
        return fake.#once(context, "get", task ? { task } : {});
      },
      cancelTask: ({ name, reason }, context) =>
        fake.#once(context, `cancel ${reason}`, { task: { name, cancelRequested: true } }),
      listTasks: ({ pageToken }, context) =>
        fake.#once(
          context,
          `list ${pageToken}`,
          pageToken === ""
            ? { tasks: [{ name: "tasks/b" }], nextPageToken: "more" }
            : { tasks: [{ name: "tasks/a" }], nextPageToken: "" },
        ),
      getServerInfo: (_, context) => fake.#once(context, "info", { version: "1" }),
    });
  }
}

/** The two transports, each with a client and a server that speaks it. */
export const TRANSPORTS = [
  { protocol: "grpc", client: node.client, connect: node.connect },
  { protocol: "grpc-web", client: web.client, connect: web.connect },
] as const;

export async function all(run: AsyncIterable<v1.TaskEvent>): Promise<v1.TaskEvent[]> {
  const events: v1.TaskEvent[] = [];
  for await (const event of run) {
    events.push(event);
  }
  return events;
}

export type { Client };
