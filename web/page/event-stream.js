// Server-sent events by `fetch`, resumed for as long as it takes.
//
// `EventSource` can't send a token, and says nothing of why a stream failed. The cursor is the sequence of
// the last durable event, so that a reload, a lost network and a restarted server are all the same case.

import { CallError, callError } from "./gateway.js";

const FIRST_DELAY_MS = 250;
const MAX_DELAY_MS = 10_000;
// The server says something every 15 s.
const SILENCE_MS = 45_000;

/** Splits a stream of text into events `{ type, id, data }`. */
export class EventParser {
  constructor() {
    this.rest = "";
    this.event = { type: "message", id: null, data: [] };
  }

  /** Takes the next piece and returns the events that it completes. */
  push(piece) {
    const events = [];
    const lines = (this.rest + piece).split("\n");
    this.rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (this.event.data.length > 0) events.push({ ...this.event, data: this.event.data.join("\n") });
        this.event = { type: "message", id: null, data: [] };
        continue;
      }
      const colon = line.indexOf(":");
      if (colon === 0) continue;
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "data") this.event.data.push(value);
      else if (field === "event") this.event.type = value;
      else if (field === "id") this.event.id = value;
    }
    return events;
  }
}

/**
 * Watches a Task until it has ended or `signal` is aborted. `onEvents` gets each batch of TaskEvents in
 * order; `onConnection` gets `live` or `lost`. Throws a CallError that a repeat would not mend.
 */
export async function watchTask(gateway, id, { onEvents, onConnection, signal }) {
  const cursor = { sequence: 0, ended: false };
  let delay = FIRST_DELAY_MS;
  while (!signal.aborted && !cursor.ended) {
    const before = cursor.sequence;
    try {
      await readOnce(gateway, id, cursor, { onEvents, onConnection, signal });
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof CallError && isFinal(error)) throw error;
      if (error instanceof CallError && error.retryAfterSeconds > 0) delay = error.retryAfterSeconds * 1000;
    }
    if (signal.aborted || cursor.ended) return;
    if (cursor.sequence > before) delay = FIRST_DELAY_MS;
    onConnection("lost");
    await pause(delay * (0.75 + Math.random() / 2), signal);
    delay = Math.min(delay * 2, MAX_DELAY_MS);
  }
}

function isFinal(error) {
  return [400, 403, 404, 405].includes(error.status);
}

async function readOnce(gateway, id, cursor, { onEvents, onConnection, signal }) {
  const attempt = new AbortController();
  const stop = () => attempt.abort();
  signal.addEventListener("abort", stop, { once: true });
  let silence = setTimeout(stop, SILENCE_MS);
  try {
    const response = await gateway.events(id, cursor.sequence, attempt.signal);
    if (response.status === 204) {
      cursor.ended = true;
      return;
    }
    onConnection("live");
    const parser = new EventParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(silence);
      silence = setTimeout(stop, SILENCE_MS);
      take(parser.push(value), cursor, onEvents);
      if (cursor.ended) return;
    }
  } finally {
    clearTimeout(silence);
    signal.removeEventListener("abort", stop);
    attempt.abort();
  }
}

function take(frames, cursor, onEvents) {
  const events = [];
  let failure = null;
  for (const frame of frames) {
    const data = JSON.parse(frame.data);
    if (frame.type === "error") {
      failure = statusOf(data);
      break;
    }
    if (!data.event) continue;
    events.push(data.event);
    const sequence = Number(data.event.sequence ?? 0);
    if (sequence > cursor.sequence) cursor.sequence = sequence;
    if (data.event.taskFinished) cursor.ended = true;
  }
  if (events.length > 0) onEvents(events);
  if (failure) throw failure;
}

/** A failure in the middle of a stream has a gRPC code; those that a repeat would not mend are 4xx here. */
function statusOf(body) {
  const http = { 3: 400, 5: 404, 7: 403, 9: 400, 11: 400, 16: 401 };
  return callError(http[body?.code] ?? 503, body);
}

/** Waits, or less when the network comes back or the page is looked at again. */
function pause(delayMs, signal) {
  return new Promise((resolve) => {
    const events = [
      [window, "online"],
      [document, "visibilitychange"],
      [signal, "abort"],
    ];
    const end = () => {
      clearTimeout(timer);
      for (const [target, name] of events) target.removeEventListener(name, end);
      resolve();
    };
    const timer = setTimeout(end, delayMs);
    for (const [target, name] of events) target.addEventListener(name, end);
  });
}
