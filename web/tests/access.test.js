// Reading and using the page without a mouse, without seeing it, at any width, in either theme.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { DESKTOP, PHONE, openPage, startBrowser, waitForEnd } from "./support/browser.js";
import { RECORDED_PATH, recordedTask, serveRecorded } from "./support/recorded.js";
import { createTask, ended, startServer } from "./support/server.js";

const AXE = readFileSync(new URL("../node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

let server;
let browser;
let tasks;
before(async () => {
  server = await startServer();
  browser = await startBrowser();
  const done = await createTask(server, "Make the greeting polite");
  const failed = await createTask(server, "Ask a model that has no answer", "scripted/hostile");
  await ended(server, done);
  await ended(server, failed);
  tasks = { done, failed, live: await createTask(server, "Wait forever", "scripted/endless") };
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Returns what axe finds; the policy lets no script of a test into the page, so it runs beside it. */
async function violations(page) {
  await page.evaluate(AXE);
  const found = await page.evaluate(async () => {
    const { violations } = await window.axe.run(document, { resultTypes: ["violations"] });
    return violations.map(({ id, nodes }) => ({
      id,
      where: nodes.slice(0, 3).map(({ target, failureSummary }) => `${target} ${failureSummary}`),
    }));
  });
  return found;
}

for (const [width, viewport] of [
  ["desktop", DESKTOP],
  ["phone", PHONE],
]) {
  for (const theme of ["light", "dark"]) {
    test(`axe finds nothing on a ${width} in the ${theme} theme, and nothing is wider than the screen`, async () => {
      const views = [
        ["/", () => page.getByText("Limits, branches and checks").click()],
        [`/tasks/${tasks.done}`, () => openAll()],
        [`/tasks/${tasks.done}`, () => page.getByRole("tab", { name: /Changes/ }).click()],
        [`/tasks/${tasks.done}`, () => page.getByRole("tab", { name: /Checks/ }).click()],
        [`/tasks/${tasks.failed}`, () => openAll()],
        [RECORDED_PATH, () => page.locator(".note", { hasText: "Went on as run 2" }).waitFor()],
        [`/tasks/${tasks.live}`, () => page.locator(".output", { hasText: "waiting" }).waitFor()],
        [`/tasks/${tasks.live}`, () => page.getByRole("button", { name: "Cancel" }).click()],
        [`/tasks/${tasks.done}`, () => page.getByRole("button", { name: "CLI" }).click()],
      ];
      const { page, close } = await openPage(browser, server, "/", { viewport, theme });
      const failure = { reason: "REASON_LIMIT_REACHED", message: "200 turns were taken", retryable: true };
      await serveRecorded(page, recordedTask({ state: "STATE_FAILED", failure }));
      const openAll = async () => {
        await waitForEnd(page, "Succeeded");
        for (const summary of await page.locator(".call-summary").all()) await summary.click();
      };
      for (const [path, act] of views) {
        await page.goto(server.url + path);
        await act();
        assert.deepEqual(await violations(page), [], `${path} ${act}`);
        const [content, screen] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
        assert.ok(content <= screen, `${path}: ${content} px on a screen of ${screen}`);
      }
      await close();
    });
  }
}

test("a task is started, read and left with the keyboard alone", async () => {
  const { page, close } = await openPage(browser, server);
  await page.locator(".history-row").first().waitFor();
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.textContent), "Skip to content");
  await page.keyboard.press("Enter");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement.id), "field-repository");
  await page.keyboard.type(server.repository);
  await page.keyboard.press("Tab");
  await page.keyboard.type("By keyboard");
  await page.keyboard.press("Control+Enter");
  await page.waitForURL("**/tasks/*");
  // The focus is on the new heading, so that a screen reader reads it.
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "H1");
  await waitForEnd(page, "Succeeded");
  assert.equal(await page.locator("#announcer").textContent(), "The task is succeeded");
  await page.getByRole("tab", { name: /Activity/ }).focus();
  await page.keyboard.press("ArrowRight");
  assert.match(await page.evaluate(() => document.activeElement.textContent), /^Changes/);
  await page.locator(".diff-file").waitFor();
  await close();
});

test("the theme that was chosen stays after a reload", async () => {
  const { page, close } = await openPage(browser, server, "/", { theme: "light" });
  const ground = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  const light = await ground();
  await page.getByRole("button", { name: "Theme: as the system" }).click();
  await page.getByRole("button", { name: "Theme: light" }).click();
  await page.getByRole("button", { name: "Theme: dark" }).waitFor();
  const dark = await ground();
  assert.notEqual(dark, light);
  await page.reload();
  assert.equal(await ground(), dark);
  await close();
});
