// The parts that need no browser: what is read from the wire, and what text becomes.

import assert from "node:assert/strict";
import { test } from "node:test";
import { byCommand, checkResult } from "../page/check-view.js";
import { commandLines, quoted } from "../page/cli-dialog.js";
import { parseDiff } from "../page/diff-text.js";
import { EventParser } from "../page/event-stream.js";
import { bytes, count, duration, money, repositoryName } from "../page/format.js";
import { callError, requestId } from "../page/gateway.js";
import { languageOf } from "../page/highlight.js";
import { pageStarts } from "../page/output-view.js";
import { TaskLog, Tail } from "../page/task-log.js";
import { terminalPieces } from "../page/terminal-text.js";
import { linkAddress, prose, shortened, visible } from "../page/text.js";

test("a stream is the same events however it is cut", () => {
  const text = ': hello\n\ndata: {"a":1}\nid: 7\n\nevent: error\r\ndata: x\r\ndata: y\r\n\r\ndata: é\n\n';
  const expected = [
    { type: "message", id: "7", data: '{"a":1}' },
    { type: "error", id: null, data: "x\ny" },
    { type: "message", id: null, data: "é" },
  ];
  for (let size = 1; size <= text.length; size += 1) {
    const parser = new EventParser();
    const events = [];
    for (let at = 0; at < text.length; at += size) events.push(...parser.push(text.slice(at, at + size)));
    assert.deepEqual(events, expected, `pieces of ${size}`);
  }
});

test("what hides becomes visible", () => {
  assert.equal(visible("a\u202eb\u0000c\u001b[1m\td\r\ne\u00a0f\u200b"), "a⟦U+202E⟧b␀c␛[1m\td\ne\u00a0f⟦U+200B⟧");
  assert.equal(prose("\u001b[31mred\u001b[0m \u001b]0;x\u0007end"), "red end");
  assert.equal(shortened(`  many\n words ${"x".repeat(50)}`, 12), "many words…");
});

test("only addresses of the web become links", () => {
  assert.equal(linkAddress("https://example.com/a b"), "https://example.com/a%20b");
  for (const bad of ["javascript:alert(1)", "data:text/html,x", "file:///etc/passwd", "/relative", "", null]) {
    assert.equal(linkAddress(bad), null, String(bad));
  }
});

test("a terminal's colours are kept and its powers are not", () => {
  assert.deepEqual(terminalPieces("a\u001b[1;31mb\u001b[0m\u001b[2Jc\u001b[38;5;9md"), [
    { text: "a", classes: "" },
    { text: "b", classes: "term-red term-bold" },
    { text: "cd", classes: "" },
  ]);
});

test("a diff is read with its names, kinds and line numbers", () => {
  const files = parseDiff(
    [
      "diff --git a/old name.rs b/new name.rs",
      "rename from old name.rs",
      "rename to new name.rs",
      "--- a/old name.rs",
      "+++ b/new name.rs",
      "@@ -3,2 +3,3 @@ fn x()",
      " same",
      "--- gone",
      "+++ come",
      "+more",
      "diff --git a/pic.png b/pic.png",
      "new file mode 100644",
      "Binary files /dev/null and b/pic.png differ",
      "",
    ].join("\n"),
  );
  assert.deepEqual(
    files.map(({ path, oldPath, status, added, removed, binary }) => [path, oldPath, status, added, removed, binary]),
    [
      ["new name.rs", "old name.rs", "renamed", 2, 1, false],
      ["pic.png", "", "added", 0, 0, true],
    ],
  );
  assert.deepEqual(files[0].lines.slice(1), [
    { kind: "same", text: "same", old: 3, new: 3 },
    { kind: "removed", text: "-- gone", old: 4 },
    { kind: "added", text: "++ come", new: 4 },
    { kind: "added", text: "more", new: 5 },
  ]);
});

test("pages of an output are bounded in lines and in characters, and lose nothing", () => {
  for (const text of ["", "x\n".repeat(1234), `${"y".repeat(300_000)}\nend`, `a\n${"z".repeat(70_000)}`]) {
    const starts = pageStarts(text);
    const pages = starts.map((start, index) => text.slice(start, starts[index + 1] ?? text.length));
    assert.equal(pages.join(""), text);
    for (const page of pages) assert.ok(page.length <= 64 * 1024 && page.split("\n").length <= 501);
  }
});

test("command lines are quoted for a shell", () => {
  assert.equal(quoted("a b'c$(x)"), "'a b'\\''c$(x)'");
  assert.equal(quoted("https://x.example/a_b-c"), "https://x.example/a_b-c");
  const task = {
    name: "tasks/1",
    state: "STATE_SUCCEEDED",
    spec: {
      instruction: "-fix; rm",
      repository: { url: "/r", branch: "main" },
      publication: { mode: "MODE_PATCH_ONLY" },
      verificationCommands: ["make test"],
    },
  };
  assert.deepEqual(commandLines(task, "http://h:1").at(-1), [
    "Run it again",
    "backspace --server http://h:1 run --base main --publish patch --verify 'make test' -- /r '-fix; rm'",
  ]);
});

test("numbers are said for people", () => {
  assert.deepEqual([0.0042, 3.14, 59.9, 61, 7265].map(duration), ["4 ms", "3.1 s", "59 s", "1 min 01 s", "2 h 01 min"]);
  assert.deepEqual([999, 1234, 123_456, 2_500_000].map(count), ["999", "1.2k", "123k", "2.50M"]);
  assert.deepEqual(["0", "1234", "1500000", undefined].map(money), ["$0", "$0.0012", "$1.50", "unknown"]);
  assert.equal(bytes(1536), "1.5 KiB");
  assert.equal(repositoryName("https://github.com/owner/name.git"), "owner/name");
});

test("a refusal is read with its reason and every violation", () => {
  const details = [
    { "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason: "INVALID_ARGUMENT" },
    { "@type": "type.googleapis.com/google.rpc.BadRequest", fieldViolations: [{ field: "a", description: "b" }] },
  ];
  const { message, status, reason, violations } = callError(400, { message: "no", details });
  assert.deepEqual(
    [message, status, reason, violations],
    ["no", 400, "INVALID_ARGUMENT", [{ field: "a", description: "b" }]],
  );
  assert.match(requestId(), /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
});

test("repeated events change nothing, holes in live text show, and unknown kinds are skipped", () => {
  const log = new TaskLog();
  const event = { sequence: "1", warning: { message: "once" } };
  log.apply(event);
  log.apply(event);
  log.apply({ sequence: "2", somethingNew: {} });
  log.apply({ assistantDelta: { turn: 1, text: "né", offset: "0" } });
  log.apply({ assistantDelta: { turn: 1, text: "né", offset: "0" } });
  log.apply({ assistantDelta: { turn: 1, text: "end", offset: "9" } });
  assert.deepEqual(
    log.items.map(({ kind, text, message }) => [kind, text ?? message]),
    [
      ["warning", "once"],
      ["assistant", "né[…]end"],
    ],
  );
  log.apply({ assistantDelta: { turn: 1, text: "again", attempt: 2 } });
  assert.equal(log.items[1].text, "again");
});

test("the live tail of an output is bounded and shows what it missed", () => {
  const tail = new Tail();
  tail.push(btoa("one\n"), "stdout", 0);
  tail.push(btoa("three\n"), "stdout", 8);
  assert.equal(tail.text, "one\n\n[…]\nthree\n");
  for (let at = 0; at < 10; at += 1) tail.push(btoa("x".repeat(60_000)), "stdout", 14 + at * 60_000);
  assert.ok(tail.text.length <= 128 * 1024);
});

test("checks stand beside their result on the base, the last round last", () => {
  const base = { command: "t", baseline: true, exitCode: 1 };
  const first = { command: "t", baseline: false, exitCode: 1 };
  const second = { command: "t", baseline: false, exitCode: 0 };
  assert.deepEqual(byCommand([base, first, second]), [{ command: "t", base, change: second, rounds: 2 }]);
  assert.deepEqual([base, first, second, null].map(checkResult), [
    ["exit 1", "warn"],
    ["exit 1", "bad"],
    ["passed", "good"],
    ["not run", "muted"],
  ]);
});

test("files are coloured by their endings", () => {
  assert.ok(languageOf("src/Main.RS")?.words.has("impl"));
  assert.ok(languageOf("Makefile"));
  assert.equal(languageOf("notes.txt"), null);
});
