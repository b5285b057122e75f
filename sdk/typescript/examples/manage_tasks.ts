/** Starts a Task, finds it, cancels it and watches its end: `node manage_tasks.js REPOSITORY`. */
import { Code } from "@connectrpc/connect";
import { CallError, connect, v1 } from "@backspace-dev/sdk/node";

const [repository = ""] = process.argv.slice(2);
const client = await connect(process.env.BACKSPACE_SERVER ?? "http://127.0.0.1:8000", {
  token: process.env.BACKSPACE_TOKEN,
});

// An error has the server's code and reason, and every field that was refused.
try {
  await client.createTask({ repository: { url: "no address" } });
} catch (error) {
  if (!(error instanceof CallError)) {
    throw error;
  }
  console.log(Code[error.code], error.reason, error.violations.map(({ field }) => field).sort().join(" "));
}

// The same request id joins the same Task: repeat a call whose answer was lost.
const spec = { instruction: "Take your time", repository: { url: repository }, model: process.env.BACKSPACE_MODEL ?? "" };
const requestId = crypto.randomUUID();
const task = await client.createTask(spec, { requestId });
const again = await client.createTask(spec, { requestId });
console.log("joined:", again.name === task.name);
for await (const other of client.listTasks()) {
  if (other.name === task.name) {
    console.log("listed: true");
    break;
  }
}

await client.cancelTask(task.name, "an example needs no more");
// Event 1 says that the Task was queued; go on after it.
for await (const { sequence, payload } of client.watch(task.name, 1, { durableOnly: true })) {
  console.log(sequence.toString(), payload.case);
}
console.log(v1.Task_State[(await client.getTask(task.name)).state]);
await client.deleteTask(task.name);
