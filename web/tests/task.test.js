// What a person does with the page: start, watch, reload, cancel, go on.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, startBrowser, stateBadge, waitForEnd } from "./support/browser.js";
import { createTask, ended, startServer } from "./support/server.js";

let server;
let browser;
before(async () => {
  server = await startServer();
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

test("a task that the form starts is watched to its pull request, with its proof", async () => {
  const { page, close } = await openPage(browser, server);
  await page.getByLabel("Repository").fill(server.repository);
  await page.getByLabel("What should be done?").fill("Make the greeting polite");
  await page.getByLabel("Model").selectOption("scripted/slow");
  await page.getByRole("button", { name: "Start the task" }).click();
  await page.waitForURL(/\/tasks\/[0-9a-f]{32}$/);
  // Streamed text is there before the message is whole.
  await page.locator(".assistant-stream", { hasText: "First I look" }).waitFor();
  // A running command shows its output while it runs.
  await page.locator(".call[open] .output", { hasText: "line 2" }).waitFor();
  assert.equal(
    await page
      .locator(".call[open] .output")
      .textContent()
      .then((text) => text.includes("line 8")),
    false,
  );
  await waitForEnd(page, "Succeeded");
  await page.getByRole("heading", { name: "The pull request is open" }).waitFor();
  const proof = page.getByRole("row", { name: /sh test\.sh/ });
  assert.match(await proof.textContent(), /exit 1.*passed.*passed/);
  await page.getByRole("tab", { name: /Changes/ }).click();
  await page.locator(".diff-added", { hasText: 'echo "Good day, $1."' }).waitFor();
  assert.equal(await page.locator(".diff-added .code-string").first().textContent(), '"Good day, $1."');
  await page.getByRole("tab", { name: /Checks/ }).click();
  await page.locator(".check-side", { hasText: "On the base" }).getByText("exit 1").waitFor();
  await page.locator(".check-side", { hasText: "On the change" }).getByText("passed").waitFor();
  await close();
});

test("a reload in the middle shows the same task to its end, each entry once", async () => {
  const id = await createTask(server, "Reload me", "scripted/slow");
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  await page.locator(".call", { hasText: "for i in" }).waitFor();
  await page.reload();
  await page.locator(".call", { hasText: "for i in" }).waitFor();
  await waitForEnd(page, "Succeeded");
  const titles = await page.locator(".call-verb").allTextContents();
  assert.deepEqual(titles, ["Checked the base", "Ran", "Edited", "Finished", "Checked the change"]);
  const said = await page.locator(".assistant-text").allTextContents();
  assert.equal(said.filter((text) => text.startsWith("First I look around. This sentence is streamed")).length, 1);
  await close();
});

test("a cancelled task stops, says so, and pushes nothing", async () => {
  const id = await createTask(server, "Wait forever", "scripted/endless");
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  await page.locator(".output", { hasText: "waiting" }).waitFor();
  await page.getByRole("button", { name: "Cancel" }).click();
  await page.getByLabel("Why (optional)").fill("It takes too long");
  await page.getByRole("button", { name: "Cancel the task" }).click();
  await waitForEnd(page, "Cancelled");
  await page.locator(".note", { hasText: "It takes too long" }).waitFor();
  await page.getByText("Nothing was pushed").waitFor();
  assert.equal((await ended(server, id)).state, "STATE_CANCELLED");
  await close();
});

test("a message to a finished task opens the task that goes on from it", async () => {
  const id = await createTask(server, "Be polite first", "scripted/demo");
  await ended(server, id);
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  await waitForEnd(page, "Succeeded");
  await page.getByLabel("Go on from here, in a new task").fill("Now greet in the evening too");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.waitForURL((url) => url.pathname.startsWith("/tasks/") && !url.pathname.endsWith(id));
  await page.getByRole("heading", { name: "Now greet in the evening too" }).waitFor();
  assert.equal(await page.locator(".facts a").getAttribute("href"), `/tasks/${id}`);
  await close();
});

test("a message to a running task is read before its next turn", async () => {
  const id = await createTask(server, "Listen to me", "scripted/slow");
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  await page.locator(".call", { hasText: "for i in" }).waitFor();
  await page.getByLabel("Send a message").fill("Keep it short, please");
  await page.getByLabel("Send a message").press("Control+Enter");
  await page.locator(".note.tone-person", { hasText: "Keep it short, please" }).waitFor();
  await close();
});

test("each field that the server refuses says why, beside it", async () => {
  const { page, close } = await openPage(browser, server, "/", { expected: [/400 \(Bad Request\)/] });
  await page.getByLabel("Repository").fill("https://evil.example/a/b?c");
  await page.getByRole("button", { name: "Start the task" }).click();
  await page.locator("#error-repository:not(:empty)").waitFor();
  assert.equal(await page.locator("#error-instruction").textContent(), "is required");
  assert.equal(await page.getByLabel("Repository").getAttribute("aria-invalid"), "true");
  await close();
});

test("the history filters by state, finds by words, and links to each task", async () => {
  const id = await createTask(server, "A needle in the history", "scripted/demo");
  await ended(server, id);
  const { page, close } = await openPage(browser, server);
  const rows = page.locator(".history-row");
  await rows.first().waitFor();
  await page.getByLabel("State").selectOption("cancelled");
  await page.waitForFunction(() => document.querySelectorAll(".history-row").length === 1);
  assert.match(await rows.first().textContent(), /Wait forever.*Cancelled/);
  await page.getByLabel("State").selectOption("all");
  await page.getByLabel("Find among these tasks").fill("needle");
  await page.waitForFunction(() => document.querySelectorAll(".history-row").length === 1);
  await rows.first().click();
  await page.waitForURL(`**/tasks/${id}`);
  await waitForEnd(page, "Succeeded");
  await page.goBack();
  await page.getByRole("heading", { name: "New task" }).waitFor();
  await close();
});

test("the history has pages", async () => {
  const first = await createTask(server, "The oldest of many", "scripted/demo");
  for (let number = 0; number < 25; number += 1) await createTask(server, `One of many ${number}`, "scripted/demo");
  const { page, close } = await openPage(browser, server);
  await page.locator(".history-row", { hasText: "One of many 24" }).waitFor();
  assert.equal(await page.locator(".history-row").count(), 25);
  await page.getByRole("button", { name: "Older" }).click();
  await page.locator(`.history-row[href="/tasks/${first}"]`).waitFor();
  await page.getByRole("button", { name: "Newer" }).click();
  await page.locator(".history-row", { hasText: "One of many 24" }).waitFor();
  await close();
});

test("the command lines can be copied and name this server and this task", async () => {
  const id = await createTask(server, "It's quoted", "scripted/demo");
  await ended(server, id);
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  await waitForEnd(page, "Succeeded");
  await page.getByRole("button", { name: "CLI" }).click();
  await page.getByRole("button", { name: "Copy" }).first().click();
  await page.getByRole("button", { name: "Copied" }).waitFor();
  assert.equal(
    await page.evaluate(() => navigator.clipboard.readText()),
    `backspace --server ${server.url} watch ${id}`,
  );
  assert.match(await page.locator(".command-lines").textContent(), /-- \S+greeter\.git 'It'\\''s quoted'/);
  await page.keyboard.press("Escape");
  await page.locator("dialog").waitFor({ state: "detached" });
  await close();
});

test("a link to no task says so", async () => {
  const { page, close } = await openPage(browser, server, `/tasks/${"0".repeat(32)}`, {
    expected: [/404 \(Not Found\)/],
  });
  await page.getByRole("heading", { name: "There is no such task" }).waitFor();
  await close();
});

test("the state badge follows the task without a reload", async () => {
  const id = await createTask(server, "Watch my badge", "scripted/slow");
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  await stateBadge(page).getByText("Running").waitFor();
  await stateBadge(page).getByText("Succeeded").waitFor({ timeout: 60_000 });
  await page.locator(`.history-row[aria-current="page"] .tone-good`).waitFor();
  await close();
});
