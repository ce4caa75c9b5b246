/** How changes of elements get into the kernel: the interface behind which the ways are interchangeable. */
import type { ElementChange } from '../../rules/element.ts';
import { MalformedElement } from '../../rules/layout.ts';
import { BerthError } from '../core/errors.ts';
import { SystemError } from '../native/errno.ts';

export interface Transport {
  /** For logs and `berth doctor`: what it is and its version. */
  readonly description: string;
  /**
   * One atomic transaction: all of it or nothing. False, and nothing was done, when the ruleset is known to have another
   * generation than the given one; a way that cannot know that always carries the change out. Rejects with NFT_REFUSED (the
   * kernel refused it, or an element is not of its set's form) or NFT_UNAVAILABLE (it could not be asked).
   */
  commit(change: ElementChange, generation?: number): Promise<boolean>;
}

/** The caller may not change the ruleset, or not even read it. */
export function notPermitted(how: string, cause?: unknown): BerthError {
  const remedy = 'run the agent as root with the capability NET_ADMIN in the network namespace of the node';
  return new BerthError('NFT_UNAVAILABLE', `${how}: operation not permitted: ${remedy}`, { cause });
}

/** An error of the system calls below in the codes of the interface; every other one as it is. */
export function translated(error: unknown): unknown {
  if (!(error instanceof SystemError)) return error;
  if (error.errnoName === 'EPERM') return notPermitted('nf_tables', error);
  return new BerthError('NFT_UNAVAILABLE', `nf_tables of the kernel cannot be used: ${error.message}`, {
    cause: error,
  });
}

/** Runs a step that writes elements down; what is not of its set's form counts as refused, before the kernel saw it. */
export function encoding<T>(step: () => T): T {
  try {
    return step();
  } catch (error) {
    if (error instanceof MalformedElement) throw new BerthError('NFT_REFUSED', error.message, { cause: error });
    throw error;
  }
}
