// The command lines that do what this page does.

import { copyButton } from "./clipboard.js";
import { openDialog } from "./dialog.js";
import { element } from "./element.js";
import { visible } from "./text.js";
import { isTerminal, taskId } from "./task-words.js";

const PUBLICATIONS = {
  MODE_DRAFT_PULL_REQUEST: "draft",
  MODE_PULL_REQUEST: "ready",
  MODE_BRANCH_ONLY: "branch",
  MODE_PATCH_ONLY: "patch",
};

/** Quotes a text for a POSIX shell. */
export function quoted(text) {
  const plain = String(text ?? "");
  return /^[\w@%+=:,./-]+$/.test(plain) ? plain : `'${plain.replaceAll("'", "'\\''")}'`;
}

/** Returns the command lines of a Task: what each does, and the line. */
export function commandLines(task, origin) {
  const server = `backspace --server ${quoted(origin)}`;
  const id = taskId(task.name);
  const spec = task.spec ?? {};
  const again = [server, "run"];
  const option = (name, value) => value && again.push(name, quoted(value));
  option("--model", spec.model);
  option("--base", spec.repository?.branch);
  option("--base-commit", spec.repository?.commit);
  option("--publish", PUBLICATIONS[spec.publication?.mode]);
  option("--issue", spec.issue);
  for (const command of spec.verificationCommands ?? []) option("--verify", command);
  again.push("--", quoted(spec.repository?.url), quoted(spec.instruction));
  return [
    [isTerminal(task.state) ? "Show what happened" : "Watch it", `${server} watch ${id}`],
    ["Apply the change to a clone", `${server} diff ${id} | git apply`],
    isTerminal(task.state) ? ["Run it again", again.join(" ")] : ["Cancel it", `${server} cancel ${id}`],
  ];
}

/** Shows the command lines of a Task. */
export function openCommandLines(task) {
  return openDialog("On the command line", () =>
    element(
      "div",
      { class: "command-lines" },
      commandLines(task, location.origin).map(([what, line]) =>
        element(
          "div",
          { class: "command-line" },
          element("p", {}, what),
          element(
            "div",
            { class: "command-line-row" },
            element("pre", { tabindex: "0" }, visible(line)),
            copyButton(() => line),
          ),
        ),
      ),
    ),
  );
}
