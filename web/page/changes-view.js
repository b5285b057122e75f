// The change of a Task: its whole patch once there is one, until then what each turn changed.

import { copyButton } from "./clipboard.js";
import { parseDiff } from "./diff-text.js";
import { diffStat, diffView } from "./diff-view.js";
import { element, fill } from "./element.js";

export class ChangesView {
  constructor(context, log) {
    this.context = context;
    this.log = log;
    this.node = element("div", { class: "changes" });
    this.patch = null;
    this.drawn = null;
  }

  /** Says how much there is, for the tab. */
  count() {
    const files = this.files();
    return files.length > 0 ? String(files.length) : "";
  }

  /** Each turn's diff is read once and by itself: one that was cut would take the next one's head for its lines. */
  files() {
    const whole = this.whole();
    if (!whole) return this.log.diffs.flatMap((turn) => (turn.files ??= parseDiff(turn.diff)));
    if (this.parsed?.text !== whole) this.parsed = { text: whole, files: parseDiff(whole) };
    return this.parsed.files;
  }

  /** The whole patch, or its beginning; empty before there is one. */
  whole() {
    const { task } = this.log;
    return this.patch ?? (task?.result?.patch || task?.preservedWork?.patch || "");
  }

  text() {
    return this.whole() || this.log.diffs.map(({ diff }) => diff).join("\n");
  }

  /** Draws, and fetches the whole patch when what is here was cut. */
  show() {
    const { task } = this.log;
    const isCut = task?.result?.patchTruncated || task?.preservedWork?.patchTruncated;
    if (isCut && this.patch === null && !this.isLoading) this.load();
    const text = this.text();
    if (this.drawn === text) return;
    this.drawn = text;
    const files = this.files();
    if (files.length === 0) {
      fill(
        this.node,
        element("p", { class: "empty" }, this.log.isOver() ? "Nothing was changed." : "Nothing has changed yet."),
      );
      return;
    }
    const isWhole = this.log.isOver();
    fill(
      this.node,
      element(
        "div",
        { class: "changes-head" },
        element("p", {}, diffStat(files), isWhole ? "" : " so far, turn by turn"),
        copyButton(() => this.text(), "Copy the patch"),
      ),
      diffView(files),
    );
  }

  async load() {
    this.isLoading = true;
    try {
      const text = await this.context.gateway.artifact(this.context.taskId, "patch", this.context.signal);
      if (text) this.patch = text;
    } catch {
      // The cut patch stays; its end says that it was cut.
    } finally {
      this.isLoading = false;
    }
    // The tab, or a later event, asks again; at once would be without end.
    if (this.patch === null) return;
    if (!this.node.hidden) this.show();
    this.context.onChanged?.();
  }
}
