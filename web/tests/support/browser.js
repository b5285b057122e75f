// A real Chromium, and a page in it that fails its test on any error, refusal of the policy, or request to
// another host.

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chromium } from "playwright-core";

export const DESKTOP = { width: 1360, height: 900 };
export const PHONE = { width: 390, height: 844 };

const PROGRAM = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));

/** Starts the browser. */
export function startBrowser() {
  return chromium.launch({ executablePath: PROGRAM, args: ["--no-sandbox", "--disable-dev-shm-usage"] });
}

/** Opens a page on a server; `expected` are patterns of console errors that the test provokes. */
export async function openPage(
  browser,
  server,
  path = "/",
  { viewport = DESKTOP, theme = "light", expected = [] } = {},
) {
  const context = await browser.newContext({ viewport, colorScheme: theme, reducedMotion: "reduce" });
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: server.url });
  const page = await context.newPage();
  const faults = [];
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("console", (message) => {
    const text = message.text();
    if (message.type() === "error" && !expected.some((pattern) => pattern.test(text))) faults.push(`console: ${text}`);
  });
  page.on("dialog", (dialog) => {
    faults.push(`a script opened a dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith(`${server.url}/`) && !url.startsWith("blob:")) faults.push(`request to ${url}`);
  });
  await page.goto(`${server.url}${path}`);
  return {
    page,
    /** Closes the page; what went wrong on it fails the test. */
    async close() {
      await context.close();
      assert.deepEqual(faults, []);
    },
  };
}

/** Returns the state that the page shows. */
export function stateBadge(page) {
  return page.locator(".task-facts .badge");
}

/** Waits until the page says that the Task has ended so. */
export async function waitForEnd(page, word, timeout = 60_000) {
  await page.locator(".phase-end", { hasText: word }).waitFor({ timeout });
}
