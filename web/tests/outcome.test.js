// Ends of Tasks, and what happens on the way to them.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, startBrowser, waitForEnd } from "./support/browser.js";
import { RECORDED_PATH, recordedTask, serveRecorded } from "./support/recorded.js";
import { startServer } from "./support/server.js";

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

async function open(outcome, word) {
  const opened = await openPage(browser, server);
  await serveRecorded(opened.page, recordedTask(outcome));
  await opened.page.goto(server.url + RECORDED_PATH);
  await waitForEnd(opened.page, word);
  await opened.page.locator(".note", { hasText: "Went on as run 2" }).waitFor();
  return opened;
}

function withPullRequest(url) {
  const pullRequest = { url, number: "12", draft: true, headBranch: "backspace/validate", baseBranch: "main" };
  return { state: "STATE_SUCCEEDED", result: { kind: "KIND_PULL_REQUEST", pullRequest, summary: "Done." } };
}

test("a pull request of a forge is one click away, in a tab that can't reach back", async () => {
  const { page, close } = await open(withPullRequest("https://github.com/acme/shop/pull/12"), "Succeeded");
  const link = page.getByRole("link", { name: "Open pull request" });
  assert.equal(await link.getAttribute("href"), "https://github.com/acme/shop/pull/12");
  assert.equal(await link.getAttribute("target"), "_blank");
  assert.equal(await link.getAttribute("rel"), "noopener noreferrer");
  await close();
});

test("an address that a browser would act on is no link", async () => {
  const { page, close } = await open(withPullRequest("javascript:window.pwned=1"), "Succeeded");
  assert.equal(await page.getByRole("link", { name: "Open pull request" }).count(), 0);
  await page.locator(".pull-request code", { hasText: "javascript:window.pwned=1" }).waitFor();
  await close();
});

test("refusals, findings, retries and restarts are told, each with its reason", async () => {
  const { page, close } = await open(withPullRequest("https://github.com/acme/shop/pull/12"), "Succeeded");
  const notes = (await page.locator(".note").allTextContents()).join("\n");
  for (const told of [
    /The model failed; trying again in 4\.5 s \(attempt 2\)529 overloaded/,
    /Refused by the policy “egress”the host is not allowedevil\.example:443/,
    /Went on as run 2the server was restarted/,
    /which are not fetched/,
    /from 160k to 12\.0k tokens/,
    /MessagePlease keep the old error codes/,
  ]) {
    assert.match(notes, told);
  }
  assert.match(await page.locator(".call", { hasText: "npm test" }).first().textContent(), /interrupted/);
  const outcome = await page.locator(".outcome").textContent();
  assert.match(outcome, /Test skipped.*tests\/orders_test\.py.*Configuration touched/);
  assert.match(outcome, /Refusedegress evil\.example:443/);
  assert.match(await page.locator(".rail").textContent(), /\$0\.81 of \$5\.00.*31 of 200.*89 % cached/);
  await close();
});

test("a failure says why, what was kept, and whether to try again", async () => {
  const failure = { reason: "REASON_LIMIT_REACHED", message: "200 turns were taken", retryable: true };
  const { page, close } = await open(
    { state: "STATE_FAILED", failure, preservedWork: { branch: "backspace/kept" } },
    "Failed",
  );
  const outcome = await page.locator(".outcome").textContent();
  assert.match(
    outcome,
    /Failed: limit reached200 turns were taken\. Running it again may succeed\. The work so far is kept\./,
  );
  assert.match(outcome, /backspace\/kept/);
  // What was asked for is put into the form again.
  await page.getByRole("button", { name: "Run again" }).click();
  await page.getByRole("heading", { name: "New task" }).waitFor();
  assert.equal(await page.getByLabel("Repository").inputValue(), "https://github.com/acme/shop");
  assert.equal(await page.getByLabel("Model").inputValue(), "anthropic/claude-sonnet-5-5");
  await close();
});

test("a check that became red stands beside its green base", async () => {
  const { page, close } = await open(withPullRequest("https://github.com/acme/shop/pull/12"), "Succeeded");
  await page.getByRole("tab", { name: "Checks 1" }).click();
  assert.match(
    await page.locator(".check-entry").textContent(),
    /npm testnewly red.*On the basepassed41 s.*On the changeexit 1/,
  );
  await close();
});
