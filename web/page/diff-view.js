// A diff to look at: files that fold, line numbers, colours of the language.
//
// Files are drawn when they are opened, and long ones in parts, so that a change of ten thousand lines
// costs what is looked at.

import { button, element, fill } from "./element.js";
import { plural } from "./format.js";
import { codeNodes, languageOf } from "./highlight.js";

const PART_LINES = 800;
/** Files that are open at first, while they are small. */
const OPEN_FILES = 20;
const OPEN_LINES = 1500;

const SIGNS = { added: "+", removed: "−", same: "", hunk: "", note: "" };
const STATUSES = { added: "new", deleted: "deleted", renamed: "renamed", modified: "" };

/** Makes the view of parsed files. */
export function diffView(files) {
  let budget = OPEN_LINES;
  return files.map((file, index) => {
    budget -= file.lines.length;
    return fileView(file, index < OPEN_FILES && budget >= 0 ? "open" : "folded");
  });
}

/** Says how much a change is. */
export function diffStat(files) {
  const sum = (key) => files.reduce((total, file) => total + file[key], 0);
  return [
    plural(files.length, "file"),
    " ",
    element("span", { class: "stat-added" }, `+${sum("added")}`),
    " ",
    element("span", { class: "stat-removed" }, `−${sum("removed")}`),
  ];
}

function fileView(file, state) {
  const body = element("div", { class: "diff-body" });
  const view = element(
    "details",
    { class: "diff-file" },
    element(
      "summary",
      {},
      element("span", { class: "diff-path" }, file.oldPath ? `${file.oldPath} → ${file.path}` : file.path),
      STATUSES[file.status] && element("span", { class: "tag" }, STATUSES[file.status]),
      element("span", { class: "stat-added" }, `+${file.added}`),
      element("span", { class: "stat-removed" }, `−${file.removed}`),
    ),
    body,
  );
  view.addEventListener("toggle", () => {
    if (view.open && body.childElementCount === 0) draw(body, file);
  });
  if (state === "open") {
    draw(body, file);
    view.open = true;
  }
  return view;
}

function draw(body, file) {
  if (file.binary || file.lines.length === 0) {
    fill(body, element("p", { class: "hint diff-note" }, file.binary ? "Not text." : "No lines changed."));
    return;
  }
  fill(body, diffTable(file.lines, file.path));
}

/** Makes a table of lines `{ kind, text, old, new }`. */
export function diffTable(lines, path) {
  const language = languageOf(path);
  const rows = element("tbody");
  const table = element("table", { class: "diff", "aria-label": `Changes of ${path}` }, rows);
  const scroller = element(
    "div",
    { class: "diff-scroller", tabindex: "0", role: "group", "aria-label": `Changes of ${path}` },
    table,
  );
  const box = element("div", {}, scroller);
  let shown = 0;
  const more = () => {
    const part = lines.slice(shown, shown + PART_LINES);
    shown += part.length;
    rows.append(...part.map((line) => row(line, language)));
    box.querySelector(".diff-more")?.remove();
    if (shown < lines.length) {
      box.append(button(`Show more (${lines.length - shown} lines)`, more, { class: "button-small diff-more" }));
    }
  };
  more();
  return box;
}

function row(line, language) {
  const code = line.kind === "hunk" || line.kind === "note" ? [line.text] : codeNodes(line.text, language);
  return element(
    "tr",
    { class: `diff-${line.kind}` },
    element("td", { class: "diff-number" }, line.old === undefined ? "" : String(line.old)),
    element("td", { class: "diff-number" }, line.new === undefined ? "" : String(line.new)),
    element("td", { class: "diff-sign" }, SIGNS[line.kind]),
    element("td", { class: "diff-code" }, code.length === 0 ? "\n" : code),
  );
}
