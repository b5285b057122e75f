// A verification in the timeline, and all of them beside their results on the base.

import { element, fill, icon } from "./element.js";
import { duration, seconds } from "./format.js";
import { outputBox, wholeButton } from "./output-view.js";
import { verdict } from "./task-words.js";
import { terminalNodes } from "./terminal-text.js";
import { shortened, visible } from "./text.js";

/** Says how a check ended, and its tone. */
export function checkResult(check) {
  if (!check) return ["not run", "muted"];
  if (check.running) return ["running", "live"];
  if (check.timedOut) return ["timed out", "bad"];
  if (check.exitCode === undefined || check.exitCode === null) return ["did not run", "muted"];
  return check.exitCode === 0 ? ["passed", "good"] : [`exit ${check.exitCode}`, check.baseline ? "warn" : "bad"];
}

function badge([words, tone], ...more) {
  return element(
    "span",
    { class: `badge tone-${tone}` },
    tone === "live" && element("span", { class: "spinner" }),
    words,
    ...more,
  );
}

/** A verification among the other entries. */
export class CheckView {
  constructor(context, item) {
    this.context = context;
    this.item = item;
    this.summary = element("summary", { class: "call-summary" });
    this.body = element("div", { class: "call-body" });
    this.node = element("details", { class: "call call-check" }, this.summary, this.body);
    this.node.addEventListener("toggle", () => this.node.open && this.drawBody());
    this.update();
  }

  update() {
    const { item } = this;
    fill(
      this.summary,
      element("span", { class: "call-icon" }, icon("shield")),
      element(
        "span",
        { class: "call-title" },
        element("span", { class: "call-verb" }, item.baseline ? "Checked the base" : "Checked the change"),
        " ",
        element("code", {}, shortened(item.command, 200)),
      ),
      badge(checkResult(item)),
      item.duration && element("span", { class: "call-time" }, duration(seconds(item.duration))),
    );
    if (this.node.open) this.drawBody();
  }

  drawBody() {
    fill(
      this.body,
      element("pre", { class: "command", tabindex: "0" }, `$ ${visible(this.item.command)}`),
      checkOutput(this.context, this.item),
    );
  }
}

function checkOutput(context, item) {
  if (item.running) {
    const box = outputBox("", "Output so far");
    box.replaceChildren(...terminalNodes(item.tail.text.slice(-16_384)));
    return [box];
  }
  return [
    item.output ? outputBox(item.output) : element("p", { class: "hint" }, "No output."),
    item.artifact && wholeButton(context, item.artifact, "Open the whole output", "Whole output"),
  ];
}

/** Puts checks together by command: the base's, and the last of the change's. */
export function byCommand(checks) {
  const commands = new Map();
  for (const check of checks) {
    const entry = commands.get(check.command) ?? { command: check.command, base: null, change: null, rounds: 0 };
    if (check.baseline) entry.base = check;
    else {
      entry.change = check;
      entry.rounds += 1;
    }
    commands.set(check.command, entry);
  }
  return Array.from(commands.values());
}

/** Makes the table of all checks. */
export function checksTable(context, checks) {
  const entries = byCommand(checks);
  if (entries.length === 0) {
    return element(
      "p",
      { class: "empty" },
      "No checks have run yet. They run on the base first, and again on the change.",
    );
  }
  return element(
    "div",
    { class: "checks" },
    entries.map((entry) => checkEntry(context, entry)),
  );
}

function checkEntry(context, { command, base, change, rounds }) {
  const says = change && !change.running ? verdict(change.verdict) : null;
  return element(
    "section",
    { class: "check-entry" },
    element("h3", {}, element("code", {}, visible(command)), says && badge(says)),
    element(
      "div",
      { class: "check-pair" },
      checkSide(context, "On the base", base),
      checkSide(context, rounds > 1 ? `On the change, round ${rounds}` : "On the change", change),
    ),
  );
}

function checkSide(context, title, check) {
  const body = element("div", {});
  const details =
    check && !check.running && element("details", { class: "check-output" }, element("summary", {}, "Output"), body);
  if (details)
    details.addEventListener(
      "toggle",
      () => details.open && body.childElementCount === 0 && fill(body, checkOutput(context, check)),
    );
  return element(
    "div",
    { class: "check-side" },
    element(
      "div",
      { class: "check-side-head" },
      element("h4", {}, title),
      badge(checkResult(check)),
      check?.duration && element("span", { class: "call-time" }, duration(seconds(check.duration))),
    ),
    details,
  );
}
