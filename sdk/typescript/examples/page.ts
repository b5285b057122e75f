/**
 * What a page does: runs a Task on its own server and shows the events, `page.html?repository=…&instruction=…`.
 *
 * A page of another origin gives the server's address instead of `location.origin`, and the server has to allow it.
 */
import { BackspaceError, connect, v1 } from "@backspace-dev/sdk/web";

const shown = document.body.appendChild(document.createElement("pre"));
const say = (...words: unknown[]): void => shown.append(`${words.join(" ")}\n`);

try {
  const asked = new URLSearchParams(location.search);
  const client = await connect(location.origin);
  const run = client.runTask(
    { instruction: asked.get("instruction") ?? "", repository: { url: asked.get("repository") ?? "" } },
    { onInterruption: ({ error, delayMs }) => say(`${error.message}; connecting again in ${Math.round(delayMs)} ms`) },
  );
  let task: v1.Task | undefined;
  for await (const { sequence, payload } of run) {
    if (sequence > 0n) {
      say(sequence, payload.case);
    }
    if (payload.case === "taskFinished") {
      task = payload.value.task;
    }
  }
  say(await client.readArtifactText(`${run.task}/artifacts/patch`, 10_000_000));
  say(run.task, v1.Task_State[task?.state ?? 0]);
} catch (error) {
  say("failed:", error instanceof BackspaceError ? error.message : error);
}
