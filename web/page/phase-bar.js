// Where a Task stands, as a row of phases.

import { element, fill, icon } from "./element.js";
import { PHASES, isTerminal, stateName, stateTone } from "./task-words.js";
import { prose } from "./text.js";

export class PhaseBar {
  constructor(log) {
    this.log = log;
    this.list = element("ol", { class: "phases", "aria-label": "Phases" });
    this.step = element("p", { class: "phase-step" });
    this.bar = element("progress", { class: "phase-progress", max: "100", "aria-label": "Progress" });
    this.node = element("div", { class: "phase-bar" }, this.list, this.bar, this.step);
  }

  update() {
    const { state, lastPhase, percent, step } = this.log;
    const isOver = isTerminal(state);
    const at = PHASES.findIndex(([name]) => name === (isOver ? lastPhase : state));
    const end = isOver ? stateName(state) : "Done";
    fill(
      this.list,
      PHASES.map(([, label], index) => {
        const isPast = index < at || (isOver && state === "STATE_SUCCEEDED");
        return phase(label, isPast ? "past" : index === at ? (isOver ? "stopped" : "now") : "to-come", state);
      }),
      phase(end, isOver ? "end" : "to-come", state),
    );
    this.bar.value = isOver ? 100 : percent;
    this.bar.hidden = isOver;
    this.step.hidden = isOver;
    this.step.textContent = prose(step) || stateName(state);
  }
}

function phase(label, place, state) {
  const tone = place === "end" || place === "stopped" ? `tone-${stateTone(state)}` : "";
  const sign = {
    past: "check",
    now: "dot",
    "to-come": "ring",
    stopped: state === "STATE_FAILED" ? "cross" : "stop",
    end: state === "STATE_SUCCEEDED" ? "check" : state === "STATE_FAILED" ? "cross" : "stop",
  }[place];
  const words = { past: "done", now: "in progress", "to-come": "to come", stopped: "ended here", end: "the end" };
  return element(
    "li",
    { class: `phase phase-${place} ${tone}`, "aria-current": place === "now" ? "step" : undefined },
    element("span", { class: "phase-sign" }, icon(sign)),
    element("span", { class: "phase-label" }, label),
    element("span", { class: "visually-hidden" }, `, ${words[place]}`),
  );
}
