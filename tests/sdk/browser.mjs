// Runs a page's script in a real Chromium and prints what the page shows.
// Usage: BACKSPACE_SERVER=http://HOST:PORT node browser.mjs SCRIPT REPOSITORY INSTRUCTION
//
// The page and the calls come from one origin, as behind a proxy in front of the server: this is that proxy, which hands on
// whatever it does not have, and a connection that breaks on the one side it breaks on the other.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

const [script, repository, instruction] = process.argv.slice(2);
const server = new URL(process.env.BACKSPACE_SERVER);
// The page tells the proxy what it shows when the last line is there.
const PAGE = `<!doctype html><meta charset="utf-8"><body><script>
new MutationObserver(() => {
  const text = document.body.innerText;
  if (/(^|\\n)(tasks\\/[0-9a-f]+ [A-Z]+|failed: .*)\\s*$/.test(text)) fetch("/said", { method: "POST", body: text });
}).observe(document.body, { childList: true, subtree: true });
</script><script type="module" src="/page.js"></script>`;

let said;
const finished = new Promise((resolve) => (said = resolve));

const proxy = http.createServer((request, response) => {
  const path = request.url.split("?")[0];
  if (path === "/page.html") {
    response.setHeader("content-type", "text/html");
    response.end(PAGE);
  } else if (path === "/page.js") {
    response.setHeader("content-type", "text/javascript");
    response.end(readFileSync(script));
  } else if (path === "/said") {
    let text = "";
    request.on("data", (data) => (text += data));
    request.on("end", () => {
      response.end();
      said(text);
    });
  } else {
    const { method, url, headers } = request;
    // A connection each: the proxy after this one cuts some of them.
    const options = { host: server.hostname, port: server.port, method, path: url, headers, agent: false };
    const onward = http.request(options, (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.on("data", (data) => response.write(data));
      answer.on("end", () => (answer.complete ? response.end() : response.destroy()));
      answer.on("error", () => response.destroy());
    });
    onward.on("error", () => response.destroy());
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }
});
await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));

const profile = mkdtempSync(join(tmpdir(), "backspace-chromium."));
const chromium = ["/usr/bin/chromium", "/usr/bin/chromium-browser"].find((path) => existsSync(path));
const asked = new URLSearchParams({ repository, instruction });
const flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic", "--no-first-run"];
const quiet = ["--disable-background-networking", "--disable-component-update", "--disable-sync", `--user-data-dir=${profile}`];
const page = `http://127.0.0.1:${proxy.address().port}/page.html?${asked}`;
const browser = spawn(chromium, [...flags, ...quiet, page], { stdio: ["ignore", "ignore", "pipe"] });
let complaints = "";
browser.stderr.on("data", (data) => (complaints += data));
const late = setTimeout(() => said(`error: the page showed no end within 120 s\n${complaints}`), 120_000);
browser.on("exit", () => said(`error: the browser ended\n${complaints}`));

const text = await finished;
clearTimeout(late);
console.log(text);
browser.removeAllListeners("exit");
browser.kill();
await new Promise((resolve) => browser.on("exit", resolve));
proxy.close();
proxy.closeAllConnections();
rmSync(profile, { recursive: true, force: true, maxRetries: 10 });
process.exitCode = / SUCCEEDED\s*$/.test(text) ? 0 : 1;
