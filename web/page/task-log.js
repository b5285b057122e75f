// A Task as its events tell it: the fold of the log, without any drawing.
//
// Owns what is known and what has changed since it was last drawn. What it keeps is bounded: live output
// is a tail, and finished outputs lose their middle, oldest first, once all of them together are large.

import { isTerminal } from "./task-words.js";

/** Most characters of a running command's output. */
const TAIL_CHARACTERS = 64 * 1024;
/** Most characters of all kept outputs, and what a cut one keeps at each end. */
const KEPT_CHARACTERS = 24 * 1024 * 1024;
const KEPT_ENDS = 2000;

export class TaskLog {
  constructor() {
    this.task = null;
    this.state = "STATE_UNSPECIFIED";
    this.lastPhase = "STATE_QUEUED";
    this.sequence = 0;
    // Up to here `task` already says what the events say.
    this.known = 0;
    this.items = [];
    this.calls = new Map();
    this.checks = new Map();
    this.plan = [];
    this.diffs = [];
    this.usage = null;
    this.step = "";
    this.percent = 0;
    this.denied = [];
    this.streaming = null;
    this.pullRequest = null;
    this.cancelAsked = false;
    this.dirty = new Set();
    this.parts = new Set(["head", "plan", "checks", "usage", "outcome"]);
    this.keptCharacters = 0;
    this.outputs = [];
  }

  /** Takes the Task as GetTask gives it; events that follow say what is newer. */
  setTask(task) {
    this.task = task;
    this.known = Number(task.lastSequence ?? 0);
    this.enter(task.state);
    this.usage = task.usage ?? this.usage;
    this.cancelAsked ||= task.cancelRequested === true;
    this.parts.add("head").add("outcome").add("usage");
  }

  isOver() {
    return isTerminal(this.state);
  }

  /** Takes an event. A repeated one changes nothing. */
  apply(event) {
    const sequence = Number(event.sequence ?? 0);
    if (sequence > 0) {
      if (sequence <= this.sequence) return;
      this.sequence = sequence;
    }
    for (const [kind, take] of Object.entries(TAKERS)) {
      if (event[kind] !== undefined) {
        take(this, event[kind], { time: event.eventTime, sequence });
        return;
      }
    }
  }

  /** Returns what changed since the last call, and forgets it. */
  drain() {
    const changes = { items: this.dirty, parts: this.parts };
    this.dirty = new Set();
    this.parts = new Set();
    return changes;
  }

  add(kind, fields) {
    const item = { kind, index: this.items.length, ...fields };
    this.items.push(item);
    this.dirty.add(item);
    return item;
  }

  enter(state) {
    if (state === this.state || this.isOver()) return;
    this.state = state;
    if (!isTerminal(state)) this.lastPhase = state;
    this.parts.add("head").add("outcome");
  }

  keep(item) {
    this.outputs.push(item);
    this.keptCharacters += item.output.length;
    while (this.keptCharacters > KEPT_CHARACTERS && this.outputs.length > 1) {
      const oldest = this.outputs.shift();
      this.keptCharacters -= oldest.output.length;
      if (oldest.output.length > 2 * KEPT_ENDS) {
        const left_out = oldest.output.length - 2 * KEPT_ENDS;
        oldest.output = `${oldest.output.slice(0, KEPT_ENDS)}\n[${left_out} characters are not kept in this page]\n${oldest.output.slice(-KEPT_ENDS)}`;
      }
    }
  }
}

/** What each kind of event does. A kind that is not here is one of a newer server, and is skipped. */
const TAKERS = {
  stateChanged(log, { state }, at) {
    if (at.sequence > log.known) log.enter(state);
    else if (!isTerminal(state)) log.lastPhase = state;
    closeStream(log);
    log.add("phase", { state, ...at });
  },
  progress(log, { percent, step }) {
    log.percent = Math.max(log.percent, percent ?? 0);
    log.step = step ?? "";
    log.parts.add("head");
  },
  assistantDelta(log, { turn, text, offset, attempt }, at) {
    let item = log.streaming;
    if (!item || item.turn !== turn) {
      closeStream(log);
      item = log.add("assistant", { turn, attempt, text: "", bytes: 0, streaming: true, ...at });
      log.streaming = item;
    }
    if ((attempt ?? 1) !== (item.attempt ?? 1)) Object.assign(item, { attempt, text: "", bytes: 0 });
    const start = Number(offset ?? 0);
    const size = new TextEncoder().encode(text ?? "").length;
    if (start > item.bytes) item.text += "[…]";
    if (start >= item.bytes) {
      item.text += text ?? "";
      item.bytes = start + size;
    }
    log.dirty.add(item);
  },
  assistantMessage(log, message, at) {
    const open = log.streaming?.turn === message.turn ? log.streaming : null;
    log.streaming = null;
    const fields = {
      text: message.text ?? "",
      artifact: message.artifact,
      streaming: false,
      ...at,
    };
    if (open) log.dirty.add(Object.assign(open, fields));
    else log.add("assistant", { turn: message.turn, ...fields });
  },
  toolCallStarted(log, call, at) {
    closeStream(log);
    const item = log.add("call", {
      callId: call.callId,
      tool: call.tool ?? "",
      input: readArguments(call.argumentsJson),
      raw: call.argumentsJson ?? "",
      inputArtifact: call.artifact,
      running: true,
      output: "",
      tail: new Tail(),
      ...at,
    });
    log.calls.set(call.callId, item);
  },
  toolOutputDelta(log, delta) {
    const item = log.calls.get(delta.callId) ?? log.checks.get(delta.callId);
    if (!item?.running) return;
    item.tail.push(
      delta.stdout ?? delta.stderr ?? "",
      delta.stdout === undefined ? "stderr" : "stdout",
      Number(delta.offset ?? 0),
    );
    log.dirty.add(item);
  },
  toolCallFinished(log, call) {
    const item = log.calls.get(call.callId);
    if (!item) return;
    Object.assign(item, {
      running: false,
      outcome: call.outcome,
      exitCode: call.exitCode,
      output: call.output ?? "",
      artifact: call.artifact,
      duration: call.duration,
      tail: null,
    });
    log.keep(item);
    log.dirty.add(item);
  },
  verificationStarted(log, check, at) {
    closeStream(log);
    const fields = { callId: check.callId, command: check.command ?? "", baseline: check.baseline === true };
    const item = log.add("check", { ...fields, running: true, output: "", tail: new Tail(), ...at });
    log.checks.set(check.callId, item);
    log.parts.add("checks");
  },
  verificationFinished(log, check, at) {
    let item = log.checks.get(check.callId);
    if (!item) {
      item = log.add("check", {
        callId: check.callId,
        command: check.command ?? "",
        baseline: check.baseline === true,
        ...at,
      });
      log.checks.set(check.callId, item);
    }
    Object.assign(item, {
      running: false,
      exitCode: check.exitCode,
      timedOut: check.timedOut === true,
      verdict: check.verdict,
      output: check.output ?? "",
      artifact: check.artifact,
      duration: check.duration,
      tail: null,
    });
    log.keep(item);
    log.dirty.add(item);
    log.parts.add("checks");
  },
  filesChanged(log, { files, diff }, at) {
    log.diffs.push({ diff: diff ?? "" });
    log.add("files", { files: files ?? [], ...at });
    log.parts.add("changes");
  },
  planUpdated(log, { steps }) {
    log.plan = steps ?? [];
    log.parts.add("plan");
  },
  usageUpdated(log, { usage }) {
    log.usage = usage ?? log.usage;
    log.parts.add("usage");
  },
  retryScheduled: (log, retry, at) => void log.add("retry", { ...retry, ...at }),
  warning: (log, { message }, at) => void log.add("warning", { message, ...at }),
  contextCompacted: (log, context, at) => void log.add("compacted", { ...context, ...at }),
  userMessage: (log, { text }, at) => void log.add("message", { text, ...at }),
  runResumed(log, { cause, run }, at) {
    closeStream(log);
    interruptAll(log);
    log.add("resumed", { cause, run, ...at });
  },
  policyDenied(log, denied, at) {
    log.denied.push(denied);
    log.add("denied", { ...denied, ...at });
    log.parts.add("outcome");
  },
  cancelRequested(log, { requester, reason }, at) {
    log.cancelAsked = true;
    log.add("cancel", { requester, reason, ...at });
    log.parts.add("head");
  },
  pullRequestOpened(log, { pullRequest }, at) {
    log.pullRequest = pullRequest;
    log.add("pullRequest", { pullRequest, ...at });
    log.parts.add("outcome");
  },
  checkpointSaved() {},
  taskFinished(log, { task }, at) {
    closeStream(log);
    // The event's Task is cut to an event's size; what GetTask gave before may be whole.
    log.task = { ...log.task, ...task, spec: log.task?.spec ?? task?.spec };
    log.usage = task?.usage ?? log.usage;
    log.enter(task?.state);
    log.percent = 100;
    log.add("finished", { state: task?.state, failure: task?.failure, ...at });
    interruptAll(log);
    for (const part of ["head", "outcome", "usage", "checks", "changes"]) log.parts.add(part);
  },
};

/** What still runs does so no more, and will not be told of. */
function interruptAll(log) {
  for (const item of [...log.calls.values(), ...log.checks.values()]) {
    if (!item.running) continue;
    log.dirty.add(Object.assign(item, { running: false, outcome: "OUTCOME_INTERRUPTED", tail: null }));
  }
}

function closeStream(log) {
  if (!log.streaming) return;
  log.dirty.add(Object.assign(log.streaming, { streaming: false }));
  log.streaming = null;
}

function readArguments(json) {
  try {
    const value = JSON.parse(json ?? "{}");
    return value !== null && typeof value === "object" ? value : {};
  } catch {
    return {};
  }
}

/** The end of a running command's output; both streams as they came. */
export class Tail {
  constructor() {
    this.text = "";
    this.next = { stdout: 0, stderr: 0 };
    this.decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  }

  push(base64, stream, offset) {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
    if (offset > this.next[stream]) this.text += this.text === "" ? "[…]\n" : "\n[…]\n";
    this.next[stream] = offset + bytes.length;
    this.text += this.decoders[stream].decode(bytes, { stream: true });
    if (this.text.length > 2 * TAIL_CHARACTERS) this.text = this.text.slice(-TAIL_CHARACTERS);
  }
}
