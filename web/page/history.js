// The caller's Tasks: filter, pages, and where each stands.
//
// The server has no stream of all Tasks, so the page shown is asked for again: often while something on it
// is live, seldom otherwise, never while nobody looks.

import { button, element, fill, icon } from "./element.js";
import { ago, moment, repositoryName } from "./format.js";
import { FILTERS, isTerminal, stateName, stateTone, taskId } from "./task-words.js";
import { shortened, visible } from "./text.js";

const LIVE_REFRESH_MS = 5000;
const IDLE_REFRESH_MS = 30_000;

export class History {
  constructor(app, node) {
    this.app = app;
    this.node = node;
    this.filter = "all";
    this.pages = [""];
    this.tasks = [];
    this.next = "";
    this.current = null;
    this.build();
    document.addEventListener("visibilitychange", () => !document.hidden && this.load());
  }

  build() {
    this.filters = element(
      "select",
      { id: "history-state", on: { change: () => this.setFilter(this.filters.value) } },
      FILTERS.map(([name, label]) => element("option", { value: name }, label)),
    );
    this.search = element("input", {
      id: "history-search",
      type: "search",
      placeholder: "Find on this page",
      "aria-label": "Find among these tasks",
      autocomplete: "off",
      on: { input: () => this.draw() },
    });
    this.list = element("ul", { class: "history-list" });
    this.note = element("p", { class: "empty", role: "status" });
    this.newer = button([icon("back"), "Newer"], () => this.turn("newer"), { class: "button-small" });
    this.older = button(["Older", icon("next")], () => this.turn("older"), { class: "button-small" });
    this.place = element("span", { class: "hint" });
    fill(
      this.node,
      element(
        "a",
        { class: "button button-primary history-new", href: "/", "data-link": true },
        icon("plus"),
        "New task",
      ),
      element(
        "div",
        { class: "history-tools" },
        element("label", { for: "history-state", class: "visually-hidden" }, "State"),
        this.filters,
        this.search,
      ),
      this.list,
      this.note,
      element("div", { class: "history-pages" }, this.newer, this.place, this.older),
    );
  }

  setFilter(name) {
    this.filter = name;
    this.pages = [""];
    this.load();
  }

  turn(way) {
    if (way === "older") this.pages.push(this.next);
    else this.pages.pop();
    this.list.scrollTop = 0;
    this.load();
  }

  /** Marks the Task that is shown. */
  setCurrent(id) {
    this.current = id;
    this.draw();
  }

  /** Takes what another part has learnt of a Task. */
  notice(task) {
    const at = this.tasks.findIndex((other) => other.name === task.name);
    if (at >= 0) this.tasks[at] = task;
    else if (this.pages.length === 1 && this.filter === "all") this.tasks.unshift(task);
    this.draw();
  }

  async load() {
    clearTimeout(this.timer);
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    const states = FILTERS.find(([name]) => name === this.filter)[2];
    try {
      const page = await this.app.gateway.listTasks({ states, pageToken: this.pages.at(-1), signal: loading.signal });
      this.tasks = page.tasks ?? [];
      this.next = page.nextPageToken ?? "";
      this.failure = null;
      this.app.noticeRepositories(this.tasks.map((task) => task.spec?.repository?.url));
    } catch (error) {
      if (loading.signal.aborted) return;
      this.failure = error.message;
    }
    this.draw();
    const isLive = this.tasks.some((task) => !isTerminal(task.state));
    this.timer = setTimeout(() => !document.hidden && this.load(), isLive ? LIVE_REFRESH_MS : IDLE_REFRESH_MS);
  }

  draw() {
    const wanted = this.search.value.trim().toLowerCase();
    const shown = this.tasks.filter(
      (task) =>
        !wanted ||
        `${task.spec?.instruction} ${task.spec?.repository?.url} ${task.name}`.toLowerCase().includes(wanted),
    );
    const focused = this.list.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    fill(
      this.list,
      shown.map((task) => this.row(task)),
    );
    if (focused) this.list.querySelector(`a[href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
    this.note.textContent = this.failure
      ? `The tasks can’t be listed: ${this.failure}`
      : shown.length > 0
        ? ""
        : this.tasks.length > 0
          ? "None of these match."
          : this.filter === "all"
            ? "No tasks yet."
            : "No tasks in this state.";
    this.newer.disabled = this.pages.length === 1;
    this.older.disabled = this.next === "";
    this.place.textContent = `Page ${this.pages.length}`;
    this.newer.parentElement.hidden = this.pages.length === 1 && this.next === "";
  }

  row(task) {
    const id = taskId(task.name);
    const tone = stateTone(task.state);
    return element(
      "li",
      {},
      element(
        "a",
        {
          class: "history-row",
          href: `/tasks/${encodeURIComponent(id)}`,
          "data-link": true,
          "aria-current": id === this.current ? "page" : undefined,
        },
        element(
          "span",
          { class: `history-sign tone-${tone}`, title: stateName(task.state) },
          tone === "live"
            ? element("span", { class: "spinner" })
            : icon({ good: "check", bad: "cross" }[tone] ?? "dash"),
        ),
        element(
          "span",
          { class: "history-text" },
          element("span", { class: "history-title", dir: "auto" }, shortened(task.spec?.instruction, 120)),
          element(
            "span",
            { class: "history-facts" },
            element("span", {}, visible(repositoryName(task.spec?.repository?.url))),
            element("time", { datetime: task.createTime, title: moment(task.createTime) }, ago(task.createTime)),
          ),
          element("span", { class: "visually-hidden" }, stateName(task.state)),
        ),
      ),
    );
  }
}
