// Calls of the server's JSON gateway: the same that anybody may use, see the contract in proto/.
//
// Owns the token. A call that is refused for want of one asks for it and is made once more. A call that
// starts work carries a request id, so that a repeat after a lost answer joins the first.

/** A call that the server refused or that did not arrive. */
export class CallError extends Error {
  constructor(message, { status = 0, reason = "", violations = [], retryAfterSeconds = 0 } = {}) {
    super(message);
    this.name = "CallError";
    this.status = status;
    this.reason = reason;
    this.violations = violations;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const TOKEN = "backspace.token";

/** Keeps the token for this tab, or for this browser when its user says so. */
export const tokenStore = {
  read() {
    return attempt(() => sessionStorage.getItem(TOKEN) ?? localStorage.getItem(TOKEN)) ?? null;
  },
  write(token, place) {
    this.clear();
    attempt(() => (place === "browser" ? localStorage : sessionStorage).setItem(TOKEN, token));
  },
  clear() {
    attempt(() => sessionStorage.removeItem(TOKEN));
    attempt(() => localStorage.removeItem(TOKEN));
  },
};

function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}

/** Makes a UUID; `crypto.randomUUID` is not there on plain http. */
export function requestId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Reads `google.rpc.Status` as JSON. */
export function callError(status, body, retryAfter = null) {
  const details = Array.isArray(body?.details) ? body.details : [];
  const info = details.find((detail) => String(detail["@type"]).endsWith("ErrorInfo"));
  const request = details.find((detail) => String(detail["@type"]).endsWith("BadRequest"));
  return new CallError(String(body?.message ?? `the server answered with ${status}`), {
    status,
    reason: info?.reason ?? "",
    violations: request?.fieldViolations ?? [],
    retryAfterSeconds: Number(retryAfter ?? 0) || 0,
  });
}

export class Gateway {
  /** `askForToken` is called when the server wants a token; it settles once there is a new one. */
  constructor(askForToken) {
    this.askForToken = askForToken;
  }

  /** Makes a request and returns the response; a refusal is a `CallError`. */
  async request(path, { method = "GET", body, signal, headers = {} } = {}) {
    for (;;) {
      const sent = tokenStore.read();
      const all = { ...headers };
      if (sent) all.authorization = `Bearer ${sent}`;
      if (body !== undefined) all["content-type"] = "application/json";
      let response;
      try {
        response = await fetch(path, {
          method,
          signal,
          headers: all,
          body: body === undefined ? undefined : JSON.stringify(body),
          credentials: "omit",
          cache: "no-store",
          redirect: "error",
        });
      } catch (error) {
        if (signal?.aborted) throw error;
        throw new CallError("the server can't be reached");
      }
      if (response.ok) return response;
      const answer = await response.json().catch(() => null);
      const error = callError(response.status, answer, response.headers.get("retry-after"));
      if (response.status !== 401) throw error;
      // Another call may have got a new token meanwhile.
      if (tokenStore.read() === sent) await this.askForToken(error, sent !== null);
    }
  }

  async json(path, options) {
    return (await this.request(path, options)).json();
  }

  serverInfo() {
    return this.json("/api/v1/server-info");
  }

  listTasks({ states = [], pageToken = "", pageSize = 25, signal } = {}) {
    const query = new URLSearchParams({ pageSize: String(pageSize) });
    if (pageToken) query.set("pageToken", pageToken);
    for (const state of states) query.append("states", state);
    return this.json(`/api/v1/tasks?${query}`, { signal });
  }

  async getTask(id, signal) {
    return (await this.json(`/api/v1/tasks/${encodeURIComponent(id)}`, { signal })).task;
  }

  async createTask(spec, id) {
    return (await this.json("/api/v1/tasks", { method: "POST", body: { spec, requestId: id } })).task;
  }

  async cancelTask(id, reason) {
    const body = reason ? { reason } : {};
    return (await this.json(`/api/v1/tasks/${encodeURIComponent(id)}:cancel`, { method: "POST", body })).task;
  }

  async sendMessage(id, text, comments, messageId) {
    const body = { requestId: messageId };
    if (text) body.text = text;
    if (comments === "with-review-comments") body.includeReviewComments = true;
    return (await this.json(`/api/v1/tasks/${encodeURIComponent(id)}:message`, { method: "POST", body })).task;
  }

  /** Reads an artifact by its name, whole (as events have it) or its last part. */
  async artifact(id, name, signal) {
    const artifact = name.split("/").pop();
    const path = `/api/v1/tasks/${encodeURIComponent(id)}/artifacts/${encodeURIComponent(artifact)}`;
    return (await this.request(path, { signal })).text();
  }

  events(id, after, signal) {
    const path = `/api/v1/tasks/${encodeURIComponent(id)}/events?after=${after}`;
    return this.request(path, { signal, headers: { accept: "text/event-stream" } });
  }
}
