/**
 * Runs a Task and prints what happens: `node run_task.js REPOSITORY INSTRUCTION`.
 *
 * The server is `BACKSPACE_SERVER` (http://127.0.0.1:8000 without it), the token `BACKSPACE_TOKEN`.
 */
import { BackspaceError, connect, v1 } from "@backspace-dev/sdk/node";

/** Returns whether the Task succeeded. */
async function main(repository = "", instruction = ""): Promise<boolean> {
  const client = await connect(process.env.BACKSPACE_SERVER ?? "http://127.0.0.1:8000", {
    token: process.env.BACKSPACE_TOKEN,
  });
  const run = client.runTask(
    { instruction, repository: { url: repository } },
    { onInterruption: ({ error }) => console.error(`${error.message}; connecting again`) },
  );
  let task: v1.Task | undefined;
  for await (const { sequence, payload } of run) {
    switch (payload.case) {
      case "stateChanged":
        console.log(sequence.toString(), v1.Task_State[payload.value.state]);
        break;
      case "toolCallFinished":
        console.log(sequence.toString(), payload.value.tool, payload.value.command);
        break;
      case "taskFinished":
        task = payload.value.task;
        console.log(sequence.toString(), "finished");
        break;
      default:
        // A newer server may send what this program does not know. Live-only events have no sequence.
        if (sequence > 0n) {
          console.log(sequence.toString(), payload.case ?? "unknown");
        }
    }
  }
  if (!task) {
    return false;
  }
  const { outcome } = task;
  const summary = outcome.case === "result" ? outcome.value.summary : outcome.value?.message;
  console.log(task.name, v1.Task_State[task.state], summary);
  console.log(await client.readArtifactText(`${task.name}/artifacts/patch`, 10_000_000));
  return task.state === v1.Task_State.SUCCEEDED;
}

try {
  process.exitCode = (await main(...process.argv.slice(2))) ? 0 : 1;
} catch (error) {
  if (!(error instanceof BackspaceError)) {
    throw error;
  }
  console.error(`run_task: ${error.message}`);
  process.exitCode = 1;
}
