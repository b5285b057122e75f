// A tool call in the timeline: one line that says what was done, and the rest when it is opened.

import { element, fill, icon } from "./element.js";
import { diffTable } from "./diff-view.js";
import { duration, seconds } from "./format.js";
import { outputBox, wholeButton } from "./output-view.js";
import { terminalNodes } from "./terminal-text.js";
import { shortened, visible } from "./text.js";

const TITLES = {
  bash: ["terminal", "Ran", (input) => input.command],
  read_file: ["file", "Read", (input) => input.path],
  write_file: ["pencil", "Wrote", (input) => input.path],
  edit_file: ["pencil", "Edited", (input) => input.path],
  apply_patch: ["pencil", "Patched", (input) => patchedPaths(input.patch)],
  grep: ["search", "Searched", (input) => input.pattern],
  glob: ["search", "Listed", (input) => input.pattern],
  todo: ["list", "Planned", (input) => `${input.items?.length ?? 0} steps`],
  finish: ["flag", "Finished", () => ""],
};

/** What an outcome says, and its tone; OK says nothing. */
const OUTCOMES = {
  OUTCOME_REJECTED: ["refused", "bad"],
  OUTCOME_TIMED_OUT: ["timed out", "bad"],
  OUTCOME_CANCELLED: ["cancelled", "muted"],
  OUTCOME_INTERRUPTED: ["interrupted", "muted"],
};

export class CallView {
  constructor(context, item) {
    this.context = context;
    this.item = item;
    this.summary = element("summary", { class: "call-summary" });
    this.body = element("div", { class: "call-body" });
    this.node = element("details", { class: "call" }, this.summary, this.body);
    this.live = null;
    this.node.addEventListener("toggle", () => this.node.open && this.drawBody());
    // A reader's click decides from then on.
    this.summary.addEventListener("click", () => (this.isDecided = true));
    this.update();
  }

  update() {
    this.drawSummary();
    const { item } = this;
    if (item.running && item.tail.text !== "" && !this.isDecided) this.node.open = true;
    if (!item.running && this.wasRunning && !this.isDecided) this.node.open = false;
    this.wasRunning = item.running;
    if (this.node.open) this.drawBody();
    else if (!item.running) fill(this.body);
  }

  drawSummary() {
    const { item } = this;
    const [sign, verb, subject] = TITLES[item.tool] ?? ["dot", visible(item.tool), (input) => JSON.stringify(input)];
    const isCommand = item.tool === "bash";
    fill(
      this.summary,
      element("span", { class: "call-icon" }, icon(sign)),
      element(
        "span",
        { class: "call-title" },
        element("span", { class: "call-verb" }, item.running && isCommand ? "Running" : verb),
        " ",
        element("code", {}, shortened(subject(item.input) ?? "", 200)),
      ),
      ...this.badges(isCommand),
    );
  }

  badges(isCommand) {
    const { item } = this;
    if (item.running)
      return [element("span", { class: "badge tone-live" }, element("span", { class: "spinner" }), "running")];
    const badges = [];
    const outcome = OUTCOMES[item.outcome];
    if (outcome) badges.push(element("span", { class: `badge tone-${outcome[1]}` }, outcome[0]));
    else if (isCommand && item.exitCode)
      badges.push(element("span", { class: "badge tone-bad" }, `exit ${item.exitCode}`));
    if (item.duration) badges.push(element("span", { class: "call-time" }, duration(seconds(item.duration))));
    return badges;
  }

  drawBody() {
    const { item } = this;
    if (item.running) {
      this.live ??= this.beginLive();
      this.live.replaceChildren(...terminalNodes(item.tail.text.slice(-16_384)));
      this.live.scrollTop = this.live.scrollHeight;
      return;
    }
    this.live = null;
    fill(this.body, this.inputNodes(), this.outputNodes());
  }

  beginLive() {
    const box = outputBox("", "Output so far");
    fill(this.body, this.inputNodes(), box);
    return box;
  }

  inputNodes() {
    const { item } = this;
    const { input } = item;
    const path = typeof input.path === "string" ? visible(input.path) : "";
    switch (item.tool) {
      case "bash":
        return element("pre", { class: "command", tabindex: "0" }, `$ ${visible(input.command)}`);
      case "edit_file":
        return diffTable([...asLines("removed", input.old), ...asLines("added", input.new)], path);
      case "write_file":
        return diffTable(asLines("added", input.content), path);
      case "apply_patch":
        return element("pre", { class: "command", tabindex: "0" }, visible(input.patch));
      case "read_file":
      case "todo":
        return null;
      default:
        return element("pre", { class: "command", tabindex: "0" }, visible(item.raw));
    }
  }

  outputNodes() {
    const { item } = this;
    const nodes = [];
    if (item.output) nodes.push(outputBox(item.output));
    if (item.artifact) nodes.push(wholeButton(this.context, item.artifact, "Open the whole output", "Whole output"));
    if (item.inputArtifact)
      nodes.push(wholeButton(this.context, item.inputArtifact, "Open the whole arguments", "Whole arguments"));
    return nodes.length > 0 ? nodes : [element("p", { class: "hint" }, "No output.")];
  }
}

function asLines(kind, text) {
  const lines = visible(text).split("\n");
  if (lines.at(-1) === "") lines.pop();
  return lines.map((line) => ({ kind, text: line }));
}

function patchedPaths(patch) {
  const paths = Array.from(
    String(patch ?? "").matchAll(/^\*\*\* (?:Add|Update|Delete) File: (.+)$/gm),
    (match) => match[1],
  );
  return paths.join(", ");
}
