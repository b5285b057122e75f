/**
 * TypeScript SDK of Backspace, a self-hosted coding agent: one sentence in, one pull request out.
 *
 * `connect` comes from `@backspace-dev/sdk/node` (gRPC) or `@backspace-dev/sdk/web` (gRPC-Web, for browsers); what
 * both have in common is here.
 */
export { type CallOptions, Client, type ClientOptions, type RunOptions, type WatchOptions } from "./client.js";
export {
  AddressError,
  BackspaceError,
  CallError,
  ContractError,
  ERROR_DOMAIN,
  type FieldViolation,
  LostError,
  type Origin,
  UnreachableError,
} from "./errors.js";
export { LiveOutput, type Piece } from "./live.js";
export type { Interruption, Reconnect } from "./reconnect.js";
export type { TaskRun } from "./run.js";
export * as v1 from "./v1.js";
