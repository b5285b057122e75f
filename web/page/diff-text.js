// A unified diff as files, hunks and lines. Reads what git writes; what it does not know, it keeps as text.

import { visible } from "./text.js";

/** Parses a diff. Each file has `path`, `oldPath`, `status`, `added`, `removed`, `binary` and `lines`. */
export function parseDiff(text) {
  const files = [];
  let file = null;
  let left = { old: 0, new: 0 };
  for (const line of String(text ?? "").split("\n")) {
    const isInHunk = file !== null && (left.old > 0 || left.new > 0);
    if (!isInHunk && line.startsWith("diff --git ")) {
      file = newFile(line);
      files.push(file);
    } else if (file === null) {
      continue;
    } else if (isInHunk) {
      takeLine(file, line, left);
    } else {
      left = takeHeader(file, line) ?? left;
    }
  }
  return files;
}

function newFile(line) {
  const path = unquoted(line.slice("diff --git ".length)).match(/^a\/(.*) b\/\1$/)?.[1] ?? line.split(" b/").pop();
  return {
    path: visible(path),
    oldPath: "",
    status: "modified",
    added: 0,
    removed: 0,
    binary: false,
    lines: [],
    at: { old: 0, new: 0 },
  };
}

function takeHeader(file, line) {
  const hunk = line.match(/^@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@(.*)$/);
  if (hunk) {
    file.at = { old: Number(hunk[1]), new: Number(hunk[3]) };
    file.lines.push({ kind: "hunk", text: visible(line) });
    return { old: Number(hunk[2] ?? 1), new: Number(hunk[4] ?? 1) };
  }
  if (line.startsWith("new file")) file.status = "added";
  else if (line.startsWith("deleted file")) file.status = "deleted";
  else if (line.startsWith("rename from "))
    Object.assign(file, { status: "renamed", oldPath: visible(unquoted(line.slice(12))) });
  else if (line.startsWith("rename to ")) file.path = visible(unquoted(line.slice(10)));
  else if (line.startsWith("+++ ") && !line.startsWith("+++ /dev/null")) file.path = pathOf(line, file.path);
  else if (line.startsWith("--- ") && !line.startsWith("--- /dev/null")) file.path = pathOf(line, file.path);
  else if (line.startsWith("Binary files") || line.startsWith("GIT binary patch")) file.binary = true;
  else if (line.startsWith("old mode") || line.startsWith("new mode") || line.startsWith("\\ No newline")) {
    file.lines.push({ kind: "note", text: visible(line) });
  }
  return null;
}

function takeLine(file, line, left) {
  const text = visible(line.slice(1));
  switch (line[0]) {
    case "+":
      file.lines.push({ kind: "added", text, new: file.at.new });
      file.added += 1;
      file.at.new += 1;
      left.new -= 1;
      break;
    case "-":
      file.lines.push({ kind: "removed", text, old: file.at.old });
      file.removed += 1;
      file.at.old += 1;
      left.old -= 1;
      break;
    case "\\":
      file.lines.push({ kind: "note", text: visible(line) });
      break;
    default:
      file.lines.push({ kind: "same", text, old: file.at.old, new: file.at.new });
      file.at.old += 1;
      file.at.new += 1;
      left.old -= 1;
      left.new -= 1;
  }
}

function pathOf(line, known) {
  const path = unquoted(line.slice(4).replace(/\t$/, ""));
  return /^[ab]\//.test(path) ? visible(path.slice(2)) : known;
}

/** Git quotes names with bytes outside ASCII; they are shown as it wrote them, without the quotes. */
function unquoted(name) {
  return name.startsWith('"') && name.endsWith('"') ? name.slice(1, -1) : name;
}
