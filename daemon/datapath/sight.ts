/** Looking something up where that may be forbidden or impossible: what was seen, or why nothing was. */
import { type Seen, seen, unseen } from '../core/diagnosis.ts';
import { messageOf } from '../core/errors.ts';
import { isErrno } from '../native/errno.ts';

/** What `read` returns, or why it threw. */
export function sight<T>(read: () => T): Seen<T> {
  try {
    return seen(read());
  } catch (error) {
    return blindness(error);
  }
}

/** `sight` of what depends on something that was looked up before. */
export function furtherSight<T, R>(fact: Seen<T>, read: (value: T) => R): Seen<R> {
  return fact.kind === 'seen' ? sight(() => read(fact.value)) : fact;
}

/** Why nothing was seen, with the remedy where it is a matter of rights. */
export function blindness(error: unknown): { readonly kind: 'unseen'; readonly why: string } {
  const message = messageOf(error);
  return unseen(isDenied(error) ? `${message}: it takes root with the capability NET_ADMIN to see this` : message);
}

function isDenied(error: unknown): boolean {
  if (isErrno(error, 'EPERM', 'EACCES')) return true;
  return error instanceof Error && 'code' in error && (error.code === 'EACCES' || error.code === 'EPERM');
}
