// What the contract's words mean to a person. One table for each enum.

/** The phases of a Task in their order. */
export const PHASES = [
  ["STATE_QUEUED", "Queued"],
  ["STATE_PREPARING", "Preparing"],
  ["STATE_RUNNING", "Running"],
  ["STATE_VERIFYING", "Verifying"],
  ["STATE_PUBLISHING", "Publishing"],
];

const STATES = new Map([
  ...PHASES,
  ["STATE_SUCCEEDED", "Succeeded"],
  ["STATE_FAILED", "Failed"],
  ["STATE_CANCELLED", "Cancelled"],
]);

/** Filters of the history: a name, a label, and the states behind it. */
export const FILTERS = [
  ["all", "All", []],
  ["live", "Live", PHASES.map(([state]) => state)],
  ["succeeded", "Succeeded", ["STATE_SUCCEEDED"]],
  ["failed", "Failed", ["STATE_FAILED"]],
  ["cancelled", "Cancelled", ["STATE_CANCELLED"]],
];

const VERDICTS = {
  VERDICT_PASSED: ["passed", "good"],
  VERDICT_FAILED_ON_BASE_TOO: ["failed on the base too", "muted"],
  VERDICT_NEWLY_RED: ["newly red", "bad"],
  VERDICT_NOT_RUN: ["did not run", "muted"],
};

const FINDINGS = {
  KIND_TEST_DELETED: "Test deleted",
  KIND_TEST_SKIPPED: "Test skipped",
  KIND_TEST_WEAKENED: "Test weakened",
  KIND_CONFIGURATION_TOUCHED: "Configuration touched",
  KIND_SENSITIVE_PATH: "Sensitive path",
  KIND_SECRET: "Possible secret",
  KIND_UNUSUAL_FILE: "Unusual file",
};

/** Names a state. */
export function stateName(state) {
  return STATES.get(state) ?? "Unknown";
}

/** Returns whether nothing follows a state. */
export function isTerminal(state) {
  return state === "STATE_SUCCEEDED" || state === "STATE_FAILED" || state === "STATE_CANCELLED";
}

/** Returns the tone of a state: a word that styles know. */
export function stateTone(state) {
  if (state === "STATE_SUCCEEDED") return "good";
  if (state === "STATE_FAILED") return "bad";
  if (state === "STATE_CANCELLED") return "muted";
  return state === "STATE_QUEUED" ? "muted" : "live";
}

/** Returns what a verdict says, and its tone. */
export function verdict(name) {
  return VERDICTS[name] ?? ["no verdict", "muted"];
}

/** Names a finding. */
export function findingName(kind) {
  return FINDINGS[kind] ?? "Look at this";
}

/** Names a cause of failure. */
export function reasonName(reason) {
  const words = String(reason ?? "")
    .replace(/^REASON_/, "")
    .toLowerCase()
    .replaceAll("_", " ");
  return words === "" || words === "unspecified" ? "failed" : words;
}

/** Returns the id in a Task's name. */
export function taskId(name) {
  return String(name ?? "").replace(/^tasks\//, "");
}
