// Tokens, lost connections, and what the page asks of whom.

import assert from "node:assert/strict";
import { connect, createServer } from "node:net";
import { after, before, test } from "node:test";
import { openPage, startBrowser, waitForEnd } from "./support/browser.js";
import { createTask, startServer } from "./support/server.js";

let browser;
before(async () => {
  browser = await startBrowser();
});
after(() => browser?.close());

/** A way to the server that can be cut, and mended. */
async function startWay(server) {
  const [host, port] = server.address.split(":");
  const sockets = new Set();
  let isCut = false;
  const listener = createServer((client) => {
    if (isCut) return client.destroy();
    const upstream = connect(Number(port), host);
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ]) {
      sockets.add(from);
      from.pipe(to);
      from.on("error", () => to.destroy());
      from.on("close", () => to.destroy());
    }
  });
  await new Promise((resolve) => listener.listen(0, "127.0.0.1", resolve));
  return {
    url: `http://127.0.0.1:${listener.address().port}`,
    cut() {
      isCut = true;
      for (const socket of sockets) socket.destroy();
    },
    mend() {
      isCut = false;
    },
    close: () => listener.close(),
  };
}

test("a lost connection is said, and resumed without a gap or a repeat", async () => {
  const server = await startServer();
  const way = await startWay(server);
  const id = await createTask(server, "Lose me", "scripted/slow");
  const { page, close } = await openPage(browser, way, `/tasks/${id}`, { expected: [/net::ERR/, /Failed to load/] });
  await page.locator(".call", { hasText: "for i in" }).waitFor();
  way.cut();
  await page.getByText("The connection was lost. Trying again…").waitFor();
  way.mend();
  await waitForEnd(page, "Succeeded");
  await page.getByText("The connection was lost").waitFor({ state: "hidden" });
  const titles = await page.locator(".call-verb").allTextContents();
  assert.deepEqual(titles, ["Checked the base", "Ran", "Edited", "Finished", "Checked the change"]);
  const numbers = await page.locator(".note-title").allTextContents();
  assert.equal(numbers.filter((title) => title === "Running").length, 1);
  await close();
  way.close();
  await server.stop();
});

test("a server with tokens is asked with one: refused, entered, kept for the tab, and forgotten", async () => {
  const server = await startServer({ tokens: "wanted" });
  const id = await createTask(server, "For Ann only");
  const { page, close } = await openPage(browser, server, `/tasks/${id}`, { expected: [/401 \(Unauthorized\)/] });
  const token = page.getByLabel("Access token");
  await token.fill("not the token");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("The server does not know that token.").waitFor();
  await token.fill(server.token);
  await page.getByRole("button", { name: "Continue" }).click();
  await waitForEnd(page, "Succeeded");
  await page.reload();
  await waitForEnd(page, "Succeeded");
  assert.equal(await page.getByLabel("Access token").count(), 0);
  assert.equal(await page.evaluate(() => localStorage.getItem("backspace.token")), null);
  await page.getByRole("button", { name: "Sign out" }).click();
  await token.waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.getItem("backspace.token")), null);
  await close();
  await server.stop();
});

test("a reader who comes back is sent no file twice", async () => {
  const server = await startServer();
  const { page, close } = await openPage(browser, server);
  await page.getByRole("heading", { name: "New task" }).waitFor();
  const statuses = new Map();
  page.on("response", (response) => {
    if (response.url().includes("/assets/")) statuses.set(response.url(), response.status());
  });
  const [first] = await Promise.all([page.waitForResponse(`${server.url}/assets/main.js`), page.reload()]);
  const sizes = await first.request().sizes();
  assert.ok(sizes.responseBodySize === 0, `${sizes.responseBodySize} bytes`);
  await close();
  await server.stop();
});
