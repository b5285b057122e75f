// Outputs of commands: what an event has, and the whole on demand.
//
// An output can have many megabytes. It is shown a page of lines at a time, so that the browser never
// lays out more than a screen or two of it, however large it is.

import { openDialog } from "./dialog.js";
import { button, element, fill } from "./element.js";
import { bytes } from "./format.js";
import { terminalNodes } from "./terminal-text.js";

const PAGE_LINES = 500;
const PAGE_CHARACTERS = 64 * 1024;

/** Makes a box of output. */
export function outputBox(text, label = "Output") {
  return element("pre", { class: "output", tabindex: "0", role: "group", "aria-label": label }, terminalNodes(text));
}

/** Makes a button that opens an artifact as a whole. */
export function wholeButton(context, artifact, label, title) {
  return button(label, () => openWhole(context, artifact, title), { class: "button-small" });
}

/** Finds where the pages of a text begin. */
export function pageStarts(text) {
  const starts = [0];
  let lines = 0;
  let at = 0;
  while (at < text.length) {
    const newline = text.indexOf("\n", at);
    const end = newline < 0 ? text.length : newline + 1;
    const start = starts[starts.length - 1];
    if (end - start > PAGE_CHARACTERS) {
      // A line that alone is larger than a page is cut.
      const cut = at > start ? at : start + PAGE_CHARACTERS;
      starts.push(cut);
      lines = 0;
      at = cut;
      continue;
    }
    lines += 1;
    at = end;
    if (lines === PAGE_LINES && at < text.length) {
      starts.push(at);
      lines = 0;
    }
  }
  return starts;
}

function openWhole({ gateway, taskId }, artifact, title) {
  const loading = new AbortController();
  return openDialog(
    title,
    () => {
      const body = element("div", { class: "whole" }, element("p", { class: "hint" }, "Loading…"));
      gateway
        .artifact(taskId, artifact, loading.signal)
        .then((text) => fill(body, pages(text, `${taskId.slice(0, 8)}-${artifact.split("/").pop()}.txt`)))
        .catch((error) =>
          fill(body, element("p", { class: "form-error", role: "alert" }, `It could not be loaded: ${error.message}`)),
        );
      return body;
    },
    { wide: true },
  ).finally(() => loading.abort());
}

function pages(text, fileName) {
  const starts = pageStarts(text);
  let page = 0;
  const box = element("pre", { class: "output output-whole", tabindex: "0", role: "group", "aria-label": "Output" });
  const place = element("span", { role: "status" });
  const go = (to) => {
    page = Math.min(Math.max(to, 0), starts.length - 1);
    fill(box, terminalNodes(text.slice(starts[page], starts[page + 1] ?? text.length)));
    box.scrollTop = 0;
    place.textContent = `Part ${page + 1} of ${starts.length} · ${bytes(text.length)}`;
    first.disabled = previous.disabled = page === 0;
    last.disabled = next.disabled = page === starts.length - 1;
  };
  const first = button("First", () => go(0));
  const previous = button("Previous", () => go(page - 1));
  const next = button("Next", () => go(page + 1));
  const last = button("Last", () => go(starts.length - 1));
  const save = button("Download", () => download(text, fileName));
  go(0);
  return [element("div", { class: "whole-bar" }, first, previous, next, last, place, save), box];
}

function download(text, fileName) {
  const url = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  element("a", { href: url, download: fileName }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
