/**
 * What can go wrong for a caller, by what the caller does about it.
 *
 * An answer of the server is told from a fault of the connection by its `google.rpc.ErrorInfo`: every failed call of
 * this contract carries one with the domain `backspace`, and no proxy, reset or broken connection does. The code alone
 * can't tell: an HTTP/2 reset is Internal too.
 */
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "./generated/google/rpc/error_details_pb.js";

/** `google.rpc.ErrorInfo.domain` of every error that the server itself made. */
export const ERROR_DOMAIN = "backspace";

/** The base of everything that this package throws by itself. */
export class BackspaceError extends Error {
  override readonly name: string = "BackspaceError";
}

/** The address, the token or another option can't be used. */
export class AddressError extends BackspaceError {
  override readonly name = "AddressError";
}

/** The server broke the contract. */
export class ContractError extends BackspaceError {
  override readonly name = "ContractError";

  constructor(reason: string) {
    super(`the server broke the contract: ${reason}`);
  }
}

/** Who made an error: the Backspace server, or the connection, a proxy, another kind of server. */
export type Origin = "server" | "transport";

/** A field that was refused. */
export interface FieldViolation {
  /** Path of the field in the request: `spec.repository.url`. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

const FINAL_FROM_TRANSPORT: ReadonlySet<Code> = new Set([
  Code.InvalidArgument,
  Code.NotFound,
  Code.AlreadyExists,
  Code.PermissionDenied,
  Code.FailedPrecondition,
  Code.Unimplemented,
  Code.Unauthenticated,
]);

/** A call that failed: the server's answer, or a fault of the connection. */
export class CallError extends BackspaceError {
  override readonly name = "CallError";

  /** The code of gRPC. */
  readonly code: Code;
  /** For a program: the words of `Failure.Reason` where they apply. Empty without an ErrorInfo. */
  readonly reason: string;
  /** What the ErrorInfo says beside the reason. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every field that was refused. */
  readonly violations: readonly FieldViolation[];
  /** How long the server asks to be left alone. */
  readonly retryAfterMs: number | undefined;
  /** Who made this error. */
  readonly origin: Origin;

  constructor(error: ConnectError) {
    const violations = error
      .findDetails(BadRequestSchema)
      .flatMap((request) => request.fieldViolations.map(({ field, description }) => ({ field, description })));
    const text = error.rawMessage || Code[error.code];
    super([text, ...violations.map(({ field, description }) => `${field}: ${description}`)].join("; "), {
      cause: error,
    });
    const info = error.findDetails(ErrorInfoSchema).find(({ domain }) => domain === ERROR_DOMAIN);
    const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
    this.code = error.code;
    this.reason = info?.reason ?? "";
    this.metadata = info?.metadata ?? {};
    this.violations = violations;
    this.retryAfterMs = delay && Number(delay.seconds) * 1_000 + delay.nanos / 1e6;
    this.origin = info ? "server" : "transport";
  }

  /** Whether the same call may be answered otherwise a moment later. */
  get isRetryable(): boolean {
    if (this.origin === "server") {
      return this.code === Code.Unavailable || this.retryAfterMs !== undefined;
    }
    return !FINAL_FROM_TRANSPORT.has(this.code);
  }

  /** Reads what a transport threw. */
  static of(error: unknown): CallError {
    return error instanceof CallError ? error : new CallError(ConnectError.from(error));
  }
}

/** Nothing answers at the address. */
export class UnreachableError extends BackspaceError {
  override readonly name = "UnreachableError";

  constructor(
    readonly address: string,
    override readonly cause: CallError,
  ) {
    super(`no Backspace server can be reached at ${address}: ${cause.message}`);
  }
}

/** The connection was lost and could not be made again in time; the Task goes on without us. */
export class LostError extends BackspaceError {
  override readonly name = "LostError";

  constructor(
    /** The Task's name, empty if the server had not told it. */
    readonly task: string,
    /** The last durable event that was delivered: where `Client.watch` can go on. */
    readonly lastSequence: bigint,
    /** How long it was tried for. */
    readonly lostForMs: number,
    /** The last fault. */
    override readonly cause: CallError,
  ) {
    super(`the connection was lost and could not be made again in ${Math.round(lostForMs / 1_000)} s: ${cause.message}`);
  }
}
