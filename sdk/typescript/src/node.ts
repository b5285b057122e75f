/** The client for Node: gRPC over HTTP/2. */
import type { SecureClientSessionOptions } from "node:http2";
import type { Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { bearer, parseAddress, type Plaintext } from "./address.js";
import { Client, type ClientOptions, greet } from "./client.js";
import { VERSION } from "./version.js";

export * from "./index.js";

/** A page of Tasks can be large: 200 of them, each with cut texts of up to 64 KiB. */
const MAX_ANSWER_BYTES = 64 * 1024 * 1024;

/** How to connect. The defaults are right for a server on this machine. */
export interface Options extends ClientOptions {
  /** Sent as a bearer token with every call. */
  readonly token?: string | undefined;
  /** What the server is trusted by (`ca`), what is shown to it (`cert`, `key`), its name (`servername`). */
  readonly tls?: SecureClientSessionOptions;
  /** Whether `http://` may be used to another machine. */
  readonly plaintext?: Plaintext;
  /** Put before this SDK's own name in the user agent. */
  readonly userAgent?: string;
}

/** Makes a client that connects with its first call. */
export function client(address: string, options: Options = {}): Client {
  const interceptors: Interceptor[] = [userAgent(options.userAgent ?? "")];
  if (options.token !== undefined) {
    interceptors.push(bearer(options.token));
  }
  const transport = createGrpcTransport({
    baseUrl: parseAddress(address, options.plaintext ?? "loopback-only"),
    interceptors,
    readMaxBytes: MAX_ANSWER_BYTES,
    // A peer that is gone without a word is noticed in 40 s; the server does the same from its side.
    pingIntervalMs: 30_000,
    pingTimeoutMs: 10_000,
    ...(options.tls && { nodeOptions: options.tls }),
  });
  return new Client(transport, options);
}

/** Connects to a server: `https://host[:port]`, or `http://` or no scheme on this machine. */
export function connect(address: string, options: Options = {}): Promise<Client> {
  return greet(client(address, options), address.trim());
}

function userAgent(before: string): Interceptor {
  return (next) => (request) => {
    request.header.set("user-agent", `${before} backspace-sdk-typescript/${VERSION}`.trim());
    return next(request);
  };
}
