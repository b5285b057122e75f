// Text that was written to harm, and more of it than anyone reads.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { openPage, startBrowser, waitForEnd } from "./support/browser.js";
import { createTask, ended, startServer } from "./support/server.js";

const CALLS_A_TURN = 32;
const MANY_TURNS = 55;

let server;
let browser;
before(async () => {
  server = await startServer({ scripts: { many: manyCalls() } });
  browser = await startBrowser();
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** A model whose calls make more than five thousand events. */
function manyCalls() {
  const call = (number) =>
    `[[turn.call]]\ntool = "todo"\narguments = { items = [{ title = "step {n}.${number}", status = "pending" }] }\n`;
  const calls = Array.from({ length: CALLS_A_TURN }, (_, number) => call(number)).join("");
  return `[[turn]]\nrepeat = ${MANY_TURNS}\nsay = "Turn {n}."\n${calls}\n[[turn]]\n[[turn.call]]\ntool = "finish"\narguments = { summary = "Many." }\n`;
}

/** Counts frames that were late while `action` ran; a page that is stuck has few and long ones. */
async function longestPause(page, action) {
  await page.evaluate(() => {
    window.pauses = { longest: 0, last: performance.now(), running: true };
    const tick = (now) => {
      window.pauses.longest = Math.max(window.pauses.longest, now - window.pauses.last);
      window.pauses.last = now;
      if (window.pauses.running) requestAnimationFrame(tick);
    };
    requestAnimationFrame(tick);
  });
  await action();
  return page.evaluate(() => {
    window.pauses.running = false;
    return window.pauses.longest;
  });
}

test("markup, escapes and hidden characters are shown as text and do nothing", async () => {
  const id = await createTask(server, "<script>window.pwned = 1</script> \u202eevil", "scripted/hostile");
  await ended(server, id);
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  await waitForEnd(page, "Succeeded");
  for (const summary of await page.locator(".call-summary").all()) await summary.click();
  await page.getByRole("tab", { name: /Changes/ }).click();
  await page.locator(".changes .diff-added").first().waitFor();
  await page.getByRole("tab", { name: /Activity/ }).click();

  assert.equal(await page.locator("h1").textContent(), "<script>window.pwned = 1</script> ⟦U+202E⟧evil");
  const said = await page.locator(".assistant-text").first().textContent();
  assert.match(said, /<script>window\.pwned = 1<\/script><img src=x onerror=/);
  assert.match(said, /⟦U\+202E⟧gnp\.exe⟦U\+202C⟧ and red and a link/);
  assert.equal(await page.locator(".assistant-text strong").textContent(), "bold");
  const output = page.locator(".call", { hasText: "printf" }).locator(".output");
  assert.match(
    await output.textContent(),
    /^red <script>window\.pwned = 1<\/script>\nprogress 100%\n⟦U\+202E⟧gnp\.exe/,
  );
  assert.equal(await output.locator(".term-red").textContent(), "red");

  const page_ = await page.evaluate(() => ({
    pwned: window.pwned ?? null,
    scripts: document.querySelectorAll("main script, main img, main iframe").length,
    links: Array.from(document.querySelectorAll(".task-main a, h1 a"), (link) => link.getAttribute("href")),
    hidden: /[\u202a-\u202e\u2066-\u2069\u001b]/.test(document.body.textContent),
  }));
  assert.deepEqual(page_, { pwned: null, scripts: 0, links: [], hidden: false });
  await close();
});

test("ten megabytes of output are read part by part, and the page stays quick", async () => {
  const id = await createTask(server, "Print a lot", "scripted/large");
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  const pause = await longestPause(page, () => waitForEnd(page, "Succeeded", 120_000));
  assert.ok(pause < 2000, `the page was stuck for ${pause} ms`);
  await page.locator(".call-summary", { hasText: "start of block" }).click();
  await page.getByRole("button", { name: "Open the whole output" }).click();
  const box = page.locator(".output-whole");
  const showing = (text) => page.locator(".output-whole", { hasText: text }).waitFor();
  await showing("start of block 0");
  const parts = page.locator(".whole-bar [role=status]");
  assert.match(await parts.textContent(), /^Part 1 of \d+ · 9\.\d MiB|^Part 1 of \d+ · 1\d\.\d MiB/);
  const reading = await longestPause(page, async () => {
    await page.getByRole("button", { name: "Last" }).click();
    await showing("the very end");
    await page.getByRole("button", { name: "Previous" }).click();
    await page.getByRole("button", { name: "First" }).click();
    await showing("start of block 0");
  });
  assert.ok(reading < 2000, `the page was stuck for ${reading} ms`);
  assert.ok((await box.evaluate((node) => node.textContent.length)) <= 64 * 1024);
  await close();
});

test("five thousand events leave a small document, and every entry can be reached", async () => {
  const id = await createTask(server, "Do many things", "scripted/many");
  const task = await ended(server, id);
  assert.ok(Number(task.lastSequence) > 5000, task.lastSequence);
  const { page, close } = await openPage(browser, server, `/tasks/${id}`);
  const pause = await longestPause(page, () => page.locator(".call-verb", { hasText: "Finished" }).waitFor());
  assert.ok(pause < 2000, `the page was stuck for ${pause} ms`);
  const nodes = await page.evaluate(() => document.querySelectorAll("*").length);
  assert.ok(nodes < 6000, `${nodes} elements`);
  const earlier = page.getByRole("button", { name: /earlier entries/ });
  while (await earlier.isVisible()) await earlier.click();
  await page.locator(".note", { hasText: "Queued" }).waitFor();
  assert.ok((await page.locator(".entry").count()) <= 300);
  const later = page.getByRole("button", { name: /later entries/ });
  while (await later.isVisible()) await later.click();
  await page.locator(".note", { hasText: "Succeeded" }).waitFor();
  await close();
});
