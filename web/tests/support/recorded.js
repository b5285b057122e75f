// A Task that has met everything which a real server is seldom made to do in a test: refusals, retries, a
// restart, findings, red checks, a failure. The page is real and reads it by its own requests.

const NAME = `tasks/${"a".repeat(32)}`;
const TIME = "2026-11-24T12:00:00Z";

export const RECORDED_PATH = `/${NAME}`;

/** Makes the Task, ended as `outcome` says. */
export function recordedTask(outcome) {
  return {
    name: NAME,
    spec: {
      instruction: "Validate the input of all POST endpoints\n\nReject unknown fields, and test it.",
      repository: { url: "https://github.com/acme/shop", branch: "main" },
      model: "anthropic/claude-sonnet-5-5",
      limits: { maxTurns: 200, maxTokens: "2000000", maxDuration: "3600s", maxCostMicroUsd: "5000000" },
      publication: { mode: "MODE_DRAFT_PULL_REQUEST" },
    },
    usage: {
      inputTokens: "1234567",
      cachedInputTokens: "1100000",
      outputTokens: "23456",
      turns: 31,
      costMicroUsd: "812345",
    },
    createTime: TIME,
    startTime: TIME,
    endTime: "2026-11-24T12:07:41Z",
    requester: "Ann <ann@example.com>",
    baseCommit: "0123456789abcdef0123456789abcdef01234567",
    lastSequence: "999",
    findings: [
      { kind: "KIND_TEST_SKIPPED", path: "tests/orders_test.py", message: "skips test_refund" },
      { kind: "KIND_CONFIGURATION_TOUCHED", path: ".github/workflows/ci.yml", message: "a workflow was changed" },
    ],
    ...outcome,
  };
}

/** Makes the events of such a Task. */
export function recordedEvents(task) {
  const happened = [
    { stateChanged: { state: "STATE_RUNNING" } },
    { retryScheduled: { component: "model", attempt: 2, delay: "4.5s", message: "529 overloaded" } },
    { policyDenied: { policy: "egress", subject: "evil.example:443", message: "the host is not allowed" } },
    { toolCallStarted: { turn: 1, callId: "t1.1", tool: "bash", argumentsJson: '{"command":"npm test"}' } },
    { runResumed: { cause: "the server was restarted", run: 2 } },
    { warning: { message: "The repository has submodules, which are not fetched" } },
    { contextCompacted: { tokensBefore: "160000", tokensAfter: "12000" } },
    { userMessage: { text: "Please keep the old error codes" } },
    { verificationFinished: { command: "npm test", callId: "b1", baseline: true, exitCode: 0, duration: "41.2s" } },
    {
      verificationFinished: {
        command: "npm test",
        callId: "v1",
        exitCode: 1,
        duration: "43.9s",
        round: 1,
        verdict: "VERDICT_NEWLY_RED",
        output: "1 failing\n",
      },
    },
    { taskFinished: { task } },
  ];
  return happened.map((payload, index) => ({ sequence: String(index + 1), eventTime: TIME, ...payload }));
}

/** Lets a page read the Task instead of asking the server for it. */
export async function serveRecorded(page, task) {
  const stream = recordedEvents(task).map((event) => `data: ${JSON.stringify({ event })}\nid: ${event.sequence}\n\n`);
  await page.route(`**/api/v1/${NAME}`, (route) => route.fulfill({ json: { task } }));
  await page.route(`**/api/v1/${NAME}/events?*`, (route) =>
    route.fulfill({ contentType: "text/event-stream", body: stream.join("") }),
  );
}
