// The entries of a Task, of which only a window is in the document.
//
// A Task can have thousands of entries. The window follows the end while its reader does, and moves by
// buttons at its edges otherwise; so that a long Task costs no more than a short one.

import { button, element, fill, icon } from "./element.js";
import { itemView } from "./item-views.js";

/** Most entries in the document, and by how many the window moves. */
const WINDOW = 300;
const STEP = 150;
/** Distance to the end, in pixels, that still counts as being there. */
const NEAR_END = 120;

export class Timeline {
  constructor(context, log) {
    this.context = context;
    this.log = log;
    this.start = 0;
    this.end = 0;
    this.views = new Map();
    this.isFollowing = true;
    this.lastScroll = 0;
    this.list = element("ol", { class: "timeline", "aria-label": "What happened" });
    this.earlier = button("", () => this.showEarlier(), { class: "button-small timeline-edge" });
    this.later = button("", () => this.showLater(), { class: "button-small timeline-edge" });
    this.jump = button([icon("next"), "Follow"], () => this.follow(), { class: "timeline-jump", hidden: true });
    this.waiting = element("p", { class: "empty" }, "Nothing has happened yet.");
    this.node = element("div", { class: "timeline-box" }, this.earlier, this.waiting, this.list, this.later, this.jump);
    this.onScroll = () => this.noticeScroll();
    window.addEventListener("scroll", this.onScroll, { passive: true });
    this.edges();
  }

  close() {
    window.removeEventListener("scroll", this.onScroll);
  }

  /** Draws what has changed. */
  update(dirty) {
    const { items } = this.log;
    for (const item of dirty) this.views.get(item)?.view.update();
    // What is streamed into the last entries moves the end too.
    if (this.isFollowing) {
      this.moveTo(Math.max(0, items.length - WINDOW), items.length);
      this.scrollToEnd();
    } else if (this.end - this.start < WINDOW) {
      this.moveTo(this.start, Math.min(items.length, this.start + WINDOW));
    }
    this.edges();
  }

  follow() {
    this.isFollowing = true;
    this.update([]);
  }

  showEarlier() {
    this.isFollowing = false;
    const anchor = this.list.firstElementChild;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    const start = Math.max(0, this.start - STEP);
    this.moveTo(start, Math.min(this.end, start + WINDOW));
    if (anchor?.isConnected) window.scrollBy(0, anchor.getBoundingClientRect().top - before);
    this.edges();
  }

  showLater() {
    const end = Math.min(this.log.items.length, this.end + STEP);
    const anchor = this.list.lastElementChild;
    const before = anchor?.getBoundingClientRect().top ?? 0;
    this.moveTo(Math.max(0, end - WINDOW), end);
    if (anchor?.isConnected) window.scrollBy(0, anchor.getBoundingClientRect().top - before);
    this.edges();
  }

  /** Makes the document hold the entries from `start` to before `end`. */
  moveTo(start, end) {
    const { items } = this.log;
    for (let index = this.start; index < this.end; index += 1) {
      if (index >= start && index < end) continue;
      const shown = this.views.get(items[index]);
      shown?.node.remove();
      this.views.delete(items[index]);
    }
    const first = this.list.firstElementChild;
    for (let index = start; index < Math.min(this.start, end); index += 1)
      this.list.insertBefore(this.make(items[index]), first);
    for (let index = Math.max(this.end, start); index < end; index += 1) this.list.append(this.make(items[index]));
    this.start = start;
    this.end = end;
  }

  make(item) {
    const view = itemView(this.context, item);
    const node = element("li", { class: `entry entry-${item.kind}` }, view.node);
    this.views.set(item, { view, node });
    return node;
  }

  edges() {
    const { items } = this.log;
    const after = items.length - this.end;
    this.waiting.hidden = items.length > 0;
    this.earlier.hidden = this.start === 0;
    fill(this.earlier, `Show ${Math.min(STEP, this.start)} of ${this.start} earlier entries`);
    this.later.hidden = after === 0;
    fill(this.later, `Show ${Math.min(STEP, after)} of ${after} later entries`);
    this.jump.hidden = this.isFollowing || this.log.isOver();
  }

  noticeScroll() {
    if (this.node.hidden || !this.node.isConnected) return;
    const isAtEnd = this.distanceToEnd() < NEAR_END;
    const moved = window.scrollY - this.lastScroll;
    this.lastScroll = window.scrollY;
    if (isAtEnd && this.end === this.log.items.length) this.isFollowing = true;
    else if (moved < 0) this.isFollowing = false;
    this.jump.hidden = this.isFollowing || this.log.isOver();
  }

  /** The end is that of the column and not of the page: on a phone more stands below it. */
  distanceToEnd() {
    return (this.node.parentElement?.getBoundingClientRect().bottom ?? 0) - window.innerHeight;
  }

  scrollToEnd() {
    if (this.log.isOver() || this.context.isActivityShown?.() === false) return;
    const distance = this.distanceToEnd();
    if (distance > 0) window.scrollBy({ top: distance, behavior: "instant" });
    this.lastScroll = window.scrollY;
  }
}
