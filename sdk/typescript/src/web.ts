/**
 * The client for browsers: gRPC-Web over `fetch`.
 *
 * A page of another origin than the server's needs the server to allow that origin (CORS).
 */
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { bearer, parseAddress, type Plaintext } from "./address.js";
import { Client, type ClientOptions, greet } from "./client.js";

export * from "./index.js";

/** How to connect. */
export interface Options extends ClientOptions {
  /** Sent as a bearer token with every call. */
  readonly token?: string | undefined;
  /** Whether `http://` may be used to another machine. */
  readonly plaintext?: Plaintext;
  /** Used instead of the global `fetch`. */
  readonly fetch?: typeof globalThis.fetch;
}

/** Makes a client that connects with its first call. */
export function client(address: string, options: Options = {}): Client {
  const transport = createGrpcWebTransport({
    baseUrl: parseAddress(address, options.plaintext ?? "loopback-only"),
    interceptors: options.token === undefined ? [] : [bearer(options.token)],
    ...(options.fetch && { fetch: options.fetch }),
  });
  return new Client(transport, options);
}

/** Connects to a server: `location.origin` for the page's own, `https://host[:port]` for another. */
export function connect(address: string, options: Options = {}): Promise<Client> {
  return greet(client(address, options), address.trim());
}
