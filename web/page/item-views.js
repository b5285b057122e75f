// The other entries of the timeline: what was said, and what happened around the work.

import { CallView } from "./call-view.js";
import { CheckView } from "./check-view.js";
import { element, fill, icon } from "./element.js";
import { clock, count, duration, plural, seconds } from "./format.js";
import { markdownNodes } from "./markdown.js";
import { wholeButton } from "./output-view.js";
import { stateName, stateTone } from "./task-words.js";
import { prose, visible } from "./text.js";

/** A model's message; text is appended while it streams, and becomes Markdown at its end. */
class AssistantView {
  constructor(context, item) {
    this.context = context;
    this.item = item;
    this.text = element("div", { class: "assistant-text", dir: "auto" });
    this.more = element("div", {});
    this.node = element("div", { class: "assistant" }, this.text, this.more);
    this.shown = null;
    this.update();
  }

  update() {
    const { item } = this;
    if (item.streaming) {
      if (this.shown === null) {
        this.shown = element("p", { class: "assistant-stream" }, document.createTextNode(""));
        fill(this.text, this.shown);
      }
      this.shown.firstChild.data = prose(item.text);
      return;
    }
    this.shown = null;
    fill(this.text, markdownNodes(item.text));
    fill(
      this.more,
      item.artifact && wholeButton(this.context, item.artifact, "Open the whole message", "Whole message"),
    );
  }
}

/** An entry of one line, or of a line and a text. */
class NoteView {
  constructor(context, item) {
    const { sign, tone = "", title, text, code } = NOTES[item.kind](item);
    this.node = element(
      "div",
      { class: `note ${tone && `tone-${tone}`}` },
      element("span", { class: "note-icon" }, icon(sign)),
      element(
        "div",
        { class: "note-body" },
        element("p", { class: "note-title", dir: "auto" }, title),
        text && element("p", { class: "note-text", dir: "auto" }, text),
        code && element("pre", { class: "note-code", tabindex: "0" }, code),
      ),
      item.time && element("time", { class: "note-time", datetime: item.time }, clock(item.time)),
    );
  }

  update() {}
}

const NOTES = {
  phase: ({ state }) => ({
    sign: state === "STATE_SUCCEEDED" ? "check" : "dot",
    tone: stateTone(state) === "live" ? "phase" : stateTone(state),
    title: stateName(state),
  }),
  files: ({ files }) => ({
    sign: "file",
    title: `Changed ${plural(files.length, "file")}`,
    text:
      files
        .slice(0, 8)
        .map((file) => `${visible(file.path)} +${file.added ?? 0} −${file.removed ?? 0}`)
        .join(" · ") + (files.length > 8 ? " …" : ""),
  }),
  retry: ({ component, attempt, delay, message }) => ({
    sign: "retry",
    tone: "warn",
    title: `${component === "forge" ? "The forge" : "The model"} failed; trying again in ${duration(seconds(delay))} (attempt ${attempt ?? 1})`,
    text: prose(message),
  }),
  warning: ({ message }) => ({ sign: "warning", tone: "warn", title: prose(message) }),
  compacted: ({ tokensBefore, tokensAfter }) => ({
    sign: "list",
    title: `The conversation was shortened from ${count(tokensBefore)} to ${count(tokensAfter)} tokens`,
  }),
  message: ({ text }) => ({ sign: "person", tone: "person", title: "Message", text: prose(text) }),
  resumed: ({ cause, run }) => ({
    sign: "retry",
    tone: "warn",
    title: `Went on as run ${run ?? 2}`,
    text: prose(cause),
  }),
  denied: ({ policy, subject, message }) => ({
    sign: "shield",
    tone: "bad",
    title: `Refused by the policy “${prose(policy)}”`,
    text: prose(message),
    code: visible(subject),
  }),
  cancel: ({ requester, reason }) => ({
    sign: "stop",
    tone: "warn",
    title: `${requester ? visible(requester) : "Someone"} asked for the task to stop`,
    text: prose(reason),
  }),
  pullRequest: ({ pullRequest }) => ({
    sign: "merge",
    tone: "good",
    title: `Opened ${pullRequest?.draft ? "draft " : ""}pull request #${pullRequest?.number ?? ""}`,
  }),
  finished: ({ state, failure }) => ({
    sign: state === "STATE_SUCCEEDED" ? "check" : state === "STATE_FAILED" ? "cross" : "stop",
    tone: stateTone(state),
    title: stateName(state),
    text: prose(failure?.message),
  }),
};

/** Makes the view of an entry: an object with `node` and `update()`. */
export function itemView(context, item) {
  switch (item.kind) {
    case "assistant":
      return new AssistantView(context, item);
    case "call":
      return new CallView(context, item);
    case "check":
      return new CheckView(context, item);
    default:
      return new NoteView(context, item);
  }
}
