// Takes the README's picture of the page: a server with some history, and one finished task.
// Usage: node picture.js FOLDER

import { join } from "node:path";
import { DESKTOP, openPage, startBrowser, waitForEnd } from "./browser.js";
import { createTask, ended, startServer } from "./server.js";

const server = await startServer();
const browser = await startBrowser();
try {
  for (const [instruction, model] of [
    ["Add input validation to all POST endpoints", "scripted/hostile"],
    ["Explain why the nightly job is slow, and fix it", "scripted/demo"],
    ["Replace the deprecated date functions", "scripted/demo"],
    ["Cover the parser's error paths with tests", "scripted/demo"],
  ]) {
    await ended(server, await createTask(server, instruction, model));
  }
  await createTask(server, "Wait for the flaky integration test and find its cause", "scripted/endless");
  const id = await createTask(server, "Make the greeting polite: the test says how");
  await ended(server, id);
  for (const theme of ["light", "dark"]) {
    const { page, close } = await openPage(browser, server, `/tasks/${id}`, { viewport: DESKTOP, theme });
    await waitForEnd(page, "Succeeded");
    await page.locator(".plan-step").first().waitFor();
    await page.getByRole("tab", { name: "Checks 1" }).waitFor();
    await page.getByRole("tab", { name: /Changes/ }).click();
    await page.locator(".diff-added").waitFor();
    await page.screenshot({ path: join(process.argv[2], `page-${theme}.png`) });
    await close();
  }
} finally {
  await browser.close();
  await server.stop();
}
