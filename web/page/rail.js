// Beside the activity: the plan, what was spent, and what was asked for.

import { element, icon } from "./element.js";
import { count, duration, moment, money, seconds } from "./format.js";
import { prose, visible } from "./text.js";

const STEPS = {
  STATE_DONE: ["check", "done"],
  STATE_IN_PROGRESS: ["dot", "in progress"],
  STATE_PENDING: ["ring", "to do"],
};

/** Makes the list of the plan's steps. */
export function planNodes(steps) {
  if (steps.length === 0) return [];
  const done = steps.filter((step) => step.state === "STATE_DONE").length;
  return [
    element("h2", {}, "Plan ", element("span", { class: "rail-count" }, `${done} of ${steps.length}`)),
    element(
      "ol",
      { class: "plan" },
      steps.map((step) => {
        const [sign, word] = STEPS[step.state] ?? STEPS.STATE_PENDING;
        return element(
          "li",
          { class: `plan-step plan-${word.replace(" ", "-")}` },
          icon(sign),
          element("span", { dir: "auto" }, prose(step.title)),
          element("span", { class: "visually-hidden" }, `, ${word}`),
        );
      }),
    ),
  ];
}

/** Makes the list of what was spent, beside the limits. */
export function usageNodes(usage, limits = {}) {
  if (!usage) return [];
  const input = Number(usage.inputTokens ?? 0);
  const cached = Number(usage.cachedInputTokens ?? 0);
  const cost = money(usage.costMicroUsd);
  return [
    element("h2", {}, "Spent"),
    facts([
      ["Cost", limits.maxCostMicroUsd ? `${cost} of ${money(limits.maxCostMicroUsd)}` : cost],
      ["Turns", limits.maxTurns ? `${usage.turns ?? 0} of ${limits.maxTurns}` : String(usage.turns ?? 0)],
      [
        "Input",
        `${count(input)} tokens${cached > 0 ? `, ${Math.round((100 * cached) / Math.max(1, input))} % cached` : ""}`,
      ],
      ["Output", `${count(usage.outputTokens)} tokens`],
    ]),
  ];
}

/** Makes the list of what was asked for. */
export function specNodes(task) {
  const { spec = {} } = task;
  const limit = spec.limits?.maxDuration && duration(seconds(spec.limits.maxDuration));
  return [
    element("h2", {}, "Task"),
    facts([
      ["Repository", element("code", {}, visible(spec.repository?.url))],
      [
        "From",
        spec.repository?.branch ??
          spec.repository?.commit?.slice(0, 12) ??
          (task.baseCommit ? task.baseCommit.slice(0, 12) : null),
      ],
      ["Model", spec.model || "the server’s default"],
      ["Publish", PUBLICATIONS[spec.publication?.mode]],
      ["Time limit", limit],
      ["Asked by", task.requester],
      ["Asked", moment(task.createTime)],
      ["Ended", moment(task.endTime)],
      [
        "Continues",
        task.continues &&
          element(
            "a",
            { href: `/${task.continues}`, "data-link": true },
            task.continues.replace("tasks/", "").slice(0, 8),
          ),
      ],
      ["Id", element("code", {}, task.name?.replace("tasks/", ""))],
    ]),
  ];
}

const PUBLICATIONS = {
  MODE_PULL_REQUEST: "pull request",
  MODE_DRAFT_PULL_REQUEST: "draft pull request",
  MODE_BRANCH_ONLY: "branch only",
  MODE_PATCH_ONLY: "patch only",
};

function facts(pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  return element(
    "dl",
    { class: "facts" },
    shown.flatMap(([name, value]) => [
      element("dt", {}, name),
      element("dd", {}, typeof value === "string" ? visible(value) : value),
    ]),
  );
}
