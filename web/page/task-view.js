// One Task: watches it and shows what it learns, at most once a frame.

import { announce } from "./announcer.js";
import { askToCancel } from "./cancel-dialog.js";
import { ChangesView } from "./changes-view.js";
import { checksTable } from "./check-view.js";
import { openCommandLines } from "./cli-dialog.js";
import { button, element, fill, icon } from "./element.js";
import { watchTask } from "./event-stream.js";
import { duration, plural, repositoryName } from "./format.js";
import { MessageForm } from "./message-form.js";
import { outcomeNodes } from "./outcome-view.js";
import { PhaseBar } from "./phase-bar.js";
import { planNodes, specNodes, usageNodes } from "./rail.js";
import { Tabs } from "./tabs.js";
import { TaskLog } from "./task-log.js";
import { stateName, stateTone } from "./task-words.js";
import { prose, shortened, visible } from "./text.js";
import { Timeline } from "./timeline.js";

export class TaskView {
  /** `app` has `gateway`, `go(path)` and `noticeTask(task)`. */
  constructor(app, id) {
    this.app = app;
    this.id = id;
    this.log = new TaskLog();
    this.stopping = new AbortController();
    const context = {
      gateway: app.gateway,
      taskId: id,
      signal: this.stopping.signal,
      isActivityShown: () => this.tabs?.shown === "activity",
      onChanged: () => this.markTabs(),
    };
    this.context = context;
    this.phaseBar = new PhaseBar(this.log);
    this.timeline = new Timeline(context, this.log);
    this.changes = new ChangesView(context, this.log);
    this.checks = element("div", {});
    this.message = new MessageForm(app.gateway, id, (task) => task.name !== `tasks/${id}` && app.go(`/${task.name}`));
    this.build();
  }

  build() {
    this.title = element("h1", { class: "task-title", dir: "auto", tabindex: "-1" }, "Loading…");
    this.facts = element("p", { class: "task-facts" });
    this.actions = element("div", { class: "task-actions" });
    this.connection = element("p", { class: "connection", role: "status" });
    this.outcome = element("section", { class: "outcome", "aria-label": "Outcome", hidden: true });
    this.instruction = element("div", { class: "instruction" });
    this.plan = element("section", { class: "rail-part", "aria-label": "Plan" });
    this.usage = element("section", { class: "rail-part", "aria-label": "Spent" });
    this.spec = element("section", { class: "rail-part", "aria-label": "Task" });
    this.tabs = new Tabs(
      [
        ["activity", "Activity", this.timeline.node],
        ["changes", "Changes", this.changes.node],
        ["checks", "Checks", this.checks],
      ],
      (name) => this.onTab(name),
    );
    this.node = element(
      "article",
      { class: "task" },
      element("a", { class: "back-link", href: "/", "data-link": true }, icon("back"), "All tasks"),
      element(
        "header",
        { class: "task-head" },
        element("div", { class: "task-head-row" }, this.title, this.actions),
        this.facts,
        this.instruction,
      ),
      this.phaseBar.node,
      this.connection,
      element(
        "div",
        { class: "task-columns" },
        element(
          "div",
          { class: "task-main" },
          this.outcome,
          this.tabs.node,
          this.timeline.node,
          this.changes.node,
          this.checks,
          this.message.node,
        ),
        element("aside", { class: "rail", "aria-label": "About the task" }, this.plan, this.usage, this.spec),
      ),
    );
  }

  /** Begins. Settles when there is nothing more to come. */
  async open() {
    this.ticking = setInterval(() => this.drawFacts(), 1000);
    try {
      this.log.setTask(await this.app.gateway.getTask(this.id, this.stopping.signal));
      this.drawSpec();
      this.schedule();
      await watchTask(this.app.gateway, this.id, {
        signal: this.stopping.signal,
        onConnection: (state) => this.onConnection(state),
        onEvents: (events) => this.onEvents(events),
      });
      if (!this.stopping.signal.aborted) await this.finish();
    } catch (error) {
      if (!this.stopping.signal.aborted) this.fail(error);
    }
  }

  close() {
    this.stopping.abort();
    clearInterval(this.ticking);
    cancelAnimationFrame(this.frame);
    this.timeline.close();
  }

  onEvents(events) {
    const before = this.log.state;
    for (const event of events) this.log.apply(event);
    if (this.log.state !== before) {
      announce(`The task is ${stateName(this.log.state).toLowerCase()}`);
      if (this.log.task) this.app.noticeTask({ ...this.log.task, state: this.log.state });
    }
    this.schedule();
  }

  onConnection(state) {
    this.connection.textContent = state === "live" ? "" : "The connection was lost. Trying again…";
    this.connection.classList.toggle("connection-lost", state !== "live");
  }

  /** The event that ends a Task is cut to its size; the Task itself may be whole. */
  async finish() {
    this.onConnection("live");
    this.log.setTask(await this.app.gateway.getTask(this.id, this.stopping.signal));
    this.app.noticeTask(this.log.task);
    this.schedule();
  }

  fail(error) {
    if (this.log.task === null) {
      fill(
        this.node,
        element(
          "div",
          { class: "empty-page" },
          element("h1", {}, error.status === 404 ? "There is no such task" : "The task can’t be shown"),
          element("p", {}, visible(error.message)),
          element("a", { href: "/", class: "button", "data-link": true }, "All tasks"),
        ),
      );
      return;
    }
    this.connection.textContent = `The events can’t be read: ${error.message}`;
    this.connection.classList.add("connection-lost");
  }

  schedule() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      this.draw();
    });
  }

  draw() {
    const { items, parts } = this.log.drain();
    if (parts.has("head")) {
      this.phaseBar.update();
      this.drawFacts();
      this.drawActions();
      this.message.update(this.log);
    }
    if (parts.has("outcome")) {
      const nodes = outcomeNodes(this.log);
      fill(this.outcome, nodes);
      this.outcome.hidden = nodes.length === 0;
    }
    if (parts.has("plan")) fill(this.plan, planNodes(this.log.plan));
    if (parts.has("usage")) fill(this.usage, usageNodes(this.log.usage, this.log.task?.spec?.limits));
    if (parts.has("outcome") && this.log.task) fill(this.spec, specNodes(this.log.task));
    this.timeline.update(items);
    if (parts.has("checks") && this.tabs.shown === "checks") this.drawChecks();
    if ((parts.has("changes") || parts.has("outcome")) && this.tabs.shown === "changes") this.changes.show();
    if (parts.has("checks") || parts.has("changes") || parts.has("outcome")) this.markTabs();
  }

  drawSpec() {
    const { spec = {} } = this.log.task;
    const instruction = prose(spec.instruction);
    const title = shortened(instruction.split("\n")[0], 140);
    this.title.textContent = title;
    document.title = `${shortened(title, 60)} · Backspace`;
    if (title !== instruction.trim()) {
      fill(
        this.instruction,
        element(
          "details",
          {},
          element("summary", {}, "The whole instruction"),
          element("pre", { class: "instruction-text", tabindex: "0", dir: "auto" }, instruction),
        ),
      );
    }
  }

  drawFacts() {
    const { task, state, usage } = this.log;
    if (!task) return;
    const end = task.endTime ? Date.parse(task.endTime) : Date.now();
    const span = duration((end - Date.parse(task.createTime)) / 1000);
    const key = `${state} ${span}`;
    if (key === this.factsKey) return;
    this.factsKey = key;
    fill(
      this.facts,
      element(
        "span",
        { class: `badge tone-${stateTone(state)}` },
        stateTone(state) === "live" && element("span", { class: "spinner" }),
        stateName(state),
      ),
      element("span", {}, visible(repositoryName(task.spec?.repository?.url))),
      element("span", {}, visible(task.spec?.model || "")),
      element("span", { class: "tabular" }, span),
      usage && element("span", {}, plural(usage.turns ?? 0, "turn")),
    );
  }

  drawActions() {
    const { task, cancelAsked } = this.log;
    if (!task) return;
    const current = { ...task, state: this.log.state };
    const nodes = [button([icon("terminal"), "CLI"], () => openCommandLines(current), { class: "button-small" })];
    if (this.log.isOver()) {
      nodes.push(button([icon("retry"), "Run again"], () => this.app.compose(task.spec), { class: "button-small" }));
    } else {
      const cancel = button(
        [icon("stop"), cancelAsked ? "Stopping…" : "Cancel"],
        () => askToCancel(this.app.gateway, this.id),
        { class: "button-small button-danger" },
      );
      cancel.disabled = cancelAsked;
      nodes.push(cancel);
    }
    const key = nodes.map((node) => node.textContent).join();
    if (key === this.actionsKey) return;
    this.actionsKey = key;
    fill(this.actions, nodes);
  }

  drawChecks() {
    fill(this.checks, checksTable(this.context, this.log.checks.values()));
  }

  markTabs() {
    this.tabs.mark("changes", this.changes.count());
    this.tabs.mark(
      "checks",
      this.log.checks.size > 0
        ? String(new Set(Array.from(this.log.checks.values(), (check) => check.command)).size)
        : "",
    );
  }

  onTab(name) {
    if (name === "changes") this.changes.show();
    if (name === "checks") this.drawChecks();
  }
}
