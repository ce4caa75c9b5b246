/**
 * Every error that Berth raises, each with a stable code. An error says what is wrong, where, and what would be right;
 * wrapping keeps the cause.
 */

/** Stable codes: they appear in logs, metrics and documentation and never change their meaning. */
export type ErrorCode =
  /** The configuration (flag, environment, file) is not usable. */
  | 'CONFIG_INVALID'
  /** `nft` is missing, too old, or may not be used. */
  | 'NFT_UNAVAILABLE'
  /** The kernel refused an nftables transaction. */
  | 'NFT_REFUSED'
  /** A system call failed. */
  | 'SYSCALL_FAILED'
  /** A netlink request was refused or its answer could not be read. */
  | 'NETLINK_FAILED'
  /** The state directory cannot be used. */
  | 'STATE_UNUSABLE'
  /** An agent holds the lock of the state directory. */
  | 'LOCK_HELD'
  /** The source of pods cannot be read. */
  | 'PODS_UNREADABLE'
  /** What a pod is to be told could not be written. */
  | 'PUBLISH_FAILED'
  /** The API server gave no answer that can be used. */
  | 'API_UNREACHABLE'
  /** The API server answered with an error. */
  | 'API_REFUSED'
  /** This replica may not be the leader any more: it writes nothing. */
  | 'LEASE_LOST'
  /** The numbers of a pod did not come in time, or cannot come. */
  | 'NUMBERS_MISSING'
  /** The agent or aggregator cannot be reached or refused the call. */
  | 'RPC_FAILED'
  /** The command line is wrong. */
  | 'USAGE';

export class BerthError extends Error {
  override readonly name = 'BerthError';
  readonly code: ErrorCode;
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
