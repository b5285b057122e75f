// What a Task left behind: the pull request, the proof, what to look at, or why it failed.

import { element, icon } from "./element.js";
import { duration, seconds } from "./format.js";
import { markdownNodes } from "./markdown.js";
import { findingName, isTerminal, reasonName, verdict } from "./task-words.js";
import { linkAddress, prose, visible } from "./text.js";

/** Makes the outcome's content; nothing while there is none. */
export function outcomeNodes(log) {
  const { task } = log;
  if (!task) return [];
  const nodes = [];
  const pullRequest = task.result?.pullRequest ?? log.pullRequest ?? task.preservedWork?.pullRequest;
  if (isTerminal(log.state)) nodes.push(headline(task, log.state));
  if (pullRequest) nodes.push(pullRequestRow(pullRequest));
  else if (task.result?.branch ?? task.preservedWork?.branch)
    nodes.push(branchRow(task.result?.branch ?? task.preservedWork.branch));
  if (task.result?.summary)
    nodes.push(element("div", { class: "summary-text", dir: "auto" }, markdownNodes(task.result.summary)));
  if (task.findings?.length > 0) nodes.push(findings(task.findings));
  if (task.result?.evidence?.length > 0) nodes.push(evidence(task.result.evidence));
  if (log.denied.length > 0) nodes.push(refusals(log.denied));
  return nodes.filter(Boolean);
}

function headline(task, state) {
  if (state === "STATE_FAILED") {
    const kept = task.preservedWork?.patch || task.preservedWork?.branch ? " The work so far is kept." : "";
    const again = task.failure?.retryable ? " Running it again may succeed." : "";
    return element(
      "div",
      { class: "outcome-head tone-bad" },
      icon("cross"),
      element(
        "div",
        {},
        element("h2", {}, `Failed: ${reasonName(task.failure?.reason)}`),
        element("p", { dir: "auto" }, `${prose(task.failure?.message).replace(/\.?$/, ".")}${again}${kept}`),
      ),
    );
  }
  if (state === "STATE_CANCELLED") {
    const kept = task.preservedWork?.patch ? "The change so far is kept as a patch." : "There was no change to keep.";
    return element(
      "div",
      { class: "outcome-head tone-muted" },
      icon("stop"),
      element("div", {}, element("h2", {}, "Cancelled"), element("p", {}, `${kept} Nothing was pushed.`)),
    );
  }
  return element(
    "div",
    { class: "outcome-head tone-good" },
    icon("check"),
    element("h2", {}, SUCCESSES[task.result?.kind] ?? "Done"),
  );
}

const SUCCESSES = {
  KIND_PULL_REQUEST: "The pull request is open",
  KIND_PATCH: "The change is ready as a patch",
  KIND_NO_CHANGE: "Nothing had to change",
  KIND_BRANCH: "The branch is pushed",
};

function pullRequestRow(pullRequest) {
  const address = linkAddress(pullRequest.url);
  const title = `${pullRequest.draft ? "Draft pull request" : "Pull request"} #${pullRequest.number ?? ""}`;
  return element(
    "div",
    { class: "pull-request" },
    element("span", { class: "note-icon tone-good" }, icon("merge")),
    element(
      "div",
      { class: "pull-request-text" },
      element("p", { class: "pull-request-title" }, title),
      element(
        "p",
        { class: "hint" },
        element("code", {}, visible(pullRequest.headBranch)),
        " into ",
        element("code", {}, visible(pullRequest.baseBranch)),
      ),
      !address && element("p", { class: "hint" }, element("code", {}, visible(pullRequest.url))),
    ),
    address &&
      element(
        "a",
        { class: "button button-primary", href: address, target: "_blank", rel: "noopener noreferrer" },
        "Open pull request",
        icon("external"),
      ),
  );
}

function branchRow(branch) {
  return element("p", { class: "hint" }, "Branch ", element("code", {}, visible(branch)));
}

function findings(list) {
  return element(
    "section",
    { class: "findings" },
    element("h3", {}, "Look at this first"),
    element(
      "ul",
      {},
      list.map((finding) =>
        element(
          "li",
          {},
          element("span", { class: "badge tone-warn" }, findingName(finding.kind)),
          " ",
          finding.path && element("code", {}, visible(finding.path)),
          " ",
          element("span", { dir: "auto" }, prose(finding.message)),
        ),
      ),
    ),
  );
}

/** The proof: each command, on the base beside the change. */
function evidence(list) {
  const commands = new Map();
  for (const fact of list) {
    const row = commands.get(fact.command) ?? {};
    row[fact.baseline ? "base" : "change"] = fact;
    commands.set(fact.command, row);
  }
  const rows = Array.from(commands, ([command, { base, change }]) => {
    const [words, tone] = verdict((change ?? base)?.verdict);
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, element("code", {}, visible(command))),
      element("td", {}, ended(base)),
      element("td", {}, ended(change)),
      element("td", {}, element("span", { class: `badge tone-${tone}` }, words)),
    );
  });
  return element(
    "section",
    { class: "evidence" },
    element("h3", {}, "Proof"),
    element(
      "div",
      { class: "evidence-scroller", tabindex: "0", role: "group", "aria-label": "Proof" },
      element(
        "table",
        {},
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ["Command", "On the base", "On the change", "Verdict"].map((title) =>
              element("th", { scope: "col" }, title),
            ),
          ),
        ),
        element("tbody", {}, rows),
      ),
    ),
  );
}

function ended(fact) {
  if (!fact) return "–";
  if (fact.timedOut) return "timed out";
  if (fact.exitCode === undefined || fact.exitCode === null) return "did not run";
  return `${fact.exitCode === 0 ? "passed" : `exit ${fact.exitCode}`} · ${duration(seconds(fact.duration))}`;
}

function refusals(list) {
  return element(
    "section",
    { class: "findings" },
    element("h3", {}, "Refused"),
    element(
      "ul",
      {},
      list
        .slice(0, 50)
        .map((denied) =>
          element(
            "li",
            {},
            element("span", { class: "badge tone-bad" }, prose(denied.policy)),
            " ",
            element("code", {}, visible(denied.subject)),
            " ",
            element("span", { dir: "auto" }, prose(denied.message)),
          ),
        ),
    ),
    list.length > 50 && element("p", { class: "hint" }, `and ${list.length - 50} more, in the activity`),
  );
}
