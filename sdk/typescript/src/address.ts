/**
 * Where a server is: the grammar of an address, and whether it may be spoken to in the clear.
 *
 * An address without a scheme is `http` on loopback and `https` elsewhere. `http` to another machine would put the
 * token and the code on the network for all to read, so it has to be asked for.
 */
import type { Interceptor } from "@connectrpc/connect";
import { AddressError } from "./errors.js";

/** Whether `http://` may be used to another machine. */
export type Plaintext = "loopback-only" | "anywhere";

/** Reads `https://host[:port]`, `http://host[:port]` or `host:port`; returns the base of all calls. */
export function parseAddress(address: string, plaintext: Plaintext): string {
  const refuse = (reason: string): AddressError =>
    new AddressError(`the server address ${JSON.stringify(address)} ${reason}`);
  const trimmed = address.trim();
  const bare = !trimmed.includes("://");
  let url: URL;
  try {
    url = new URL(bare ? `https://${trimmed}` : trimmed);
    if (bare && isLoopback(url.hostname)) {
      url = new URL(`http://${trimmed}`);
    }
  } catch {
    throw refuse("cannot be read; write it as https://host:port, or http://127.0.0.1:8000 on this machine");
  }
  if (url.username !== "" || url.password !== "") {
    throw refuse("holds a user or password; give a token instead");
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") {
    throw refuse("has an unknown scheme; use https, or http on this machine");
  }
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "") {
    throw refuse("has a path or query; a server is named by scheme, host and port alone");
  }
  if (url.protocol === "http:" && plaintext !== "anywhere" && !isLoopback(url.hostname)) {
    throw refuse(
      "is http to another machine, which would show token and code to the network; use https, or allow plaintext " +
        "if a tunnel protects it",
    );
  }
  return url.origin;
}

/** Puts the token on each call. */
export function bearer(token: string): Interceptor {
  // Files end with a line break.
  const trimmed = token.trim();
  if (trimmed === "") {
    throw new AddressError("the token is empty");
  }
  if (!/^[!-~]+$/.test(trimmed)) {
    throw new AddressError("the token holds a character that a header cannot carry; only printable ASCII is allowed");
  }
  return (next) => (request) => {
    request.header.set("authorization", `Bearer ${trimmed}`);
    return next(request);
  };
}

function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}
