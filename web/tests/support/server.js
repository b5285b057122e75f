// A real server for a test: its own folder, a free port, a repository, scripted models.

import { execFileSync, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";

const ROOT = new URL("../../..", import.meta.url).pathname;
const BINARIES = process.env.BINARIES ?? join(ROOT, "target/debug");
const START_MS = 60_000;

/** Starts a server; `scripts` are more scripted models by name, `tokens` wants a token of its callers. */
export async function startServer({ scripts = {}, tokens = "none", settings = [] } = {}) {
  const folder = mkdtempSync(join(process.env.TMPDIR ?? tmpdir(), "backspace-page."));
  const repository = join(folder, "repositories/greeter.git");
  execFileSync("sh", [join(ROOT, "demo/make-repository.sh"), repository, join(folder, "seed")]);
  cpSync(join(ROOT, "demo/scripts"), join(folder, "scripts"), { recursive: true });
  cpSync(new URL("../scripts", import.meta.url).pathname, join(folder, "scripts"), { recursive: true });
  for (const [name, text] of Object.entries(scripts)) writeFileSync(join(folder, "scripts", `${name}.toml`), text);
  mkdirSync(join(folder, "data"), { mode: 0o700 });
  const options = ["--data-folder", join(folder, "data"), "--allow-local", join(folder, "repositories")];
  options.push("--scripts", join(folder, "scripts"), "--model", "scripted/demo", "--sandbox", "local");
  options.push("--rate-limit-requests", "1000", ...settings);
  let token = null;
  if (tokens === "wanted") {
    token = randomBytes(32).toString("base64url");
    const hash = createHash("sha256").update(token).digest("hex");
    const file = join(folder, "tokens.toml");
    writeFileSync(file, `[[principal]]\nname = "ann"\ntoken_sha256 = ["${hash}"]\n`, { mode: 0o600 });
    options.push("--tokens-file", file);
  }
  const running = await run(folder, options);
  return { folder, repository, token, ...running };
}

async function run(folder, options) {
  const ready = join(folder, "ready");
  const log = [];
  const child = spawn(
    join(BINARIES, "backspace-server"),
    ["--listen", "127.0.0.1:0", "--ready-file", ready, ...options],
    {
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  child.stderr.on("data", (data) => log.push(data));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const deadline = Date.now() + START_MS;
  while (!existsSync(ready) || readFileSync(ready, "utf8").trim() === "") {
    if (child.exitCode !== null || Date.now() > deadline) throw new Error(`the server did not start:\n${log.join("")}`);
    await pause(50);
  }
  return {
    address: readFileSync(ready, "utf8").trim(),
    url: `http://${readFileSync(ready, "utf8").trim()}`,
    async stop() {
      child.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Starts a Task by the API, as another client would. */
export async function createTask(server, instruction, model = "scripted/demo") {
  const spec = { instruction, repository: { url: server.repository }, model };
  const headers = { "content-type": "application/json" };
  if (server.token) headers.authorization = `Bearer ${server.token}`;
  const response = await fetch(`${server.url}/api/v1/tasks`, {
    method: "POST",
    headers,
    body: JSON.stringify({ spec }),
  });
  const body = await response.json();
  if (!response.ok) throw new Error(JSON.stringify(body));
  return body.task.name.replace("tasks/", "");
}

/** Waits until a Task has ended, and returns it. */
export async function ended(server, id) {
  const events = await fetch(`${server.url}/api/v1/tasks/${id}/events?durable_only=true`);
  await events.text();
  return (await (await fetch(`${server.url}/api/v1/tasks/${id}`)).json()).task;
}
