/** Whether the agent may open as many sockets as its pools need. It must never fail the start: it warns. */
import { isErrno } from '../native/errno.ts';
import { getrlimit, setrlimit } from '../native/libc.ts';

const RLIMIT_NOFILE = 7;

/** Descriptors for everything but reservations: clients of the socket, the API server, netlink, files. */
export const DESCRIPTOR_HEADROOM = 1024;

/**
 * `needed`: how many ports may be held at once. Raises the soft limit to the hard one where it is too low; returns a
 * warning with the remedy when that is not enough (raising the hard limit needs CAP_SYS_RESOURCE, which the agent lacks).
 */
export function checkDescriptors(needed: number): string | undefined {
  const wanted = needed + DESCRIPTOR_HEADROOM;
  const { soft, hard } = getrlimit(RLIMIT_NOFILE);
  if (soft >= wanted) return undefined;
  const allowed = raiseSoftLimit(soft, hard);
  if (allowed >= wanted) return undefined;
  const ports = Math.max(0, allowed - DESCRIPTOR_HEADROOM);
  return (
    `the agent may open ${allowed} files, ${needed} host ports need ${wanted}: only about ${ports} ports can be held; ` +
    'raise the limit of open files of the container runtime (LimitNOFILE= of containerd, default_ulimits of CRI-O), ' +
    'or use smaller pools'
  );
}

function raiseSoftLimit(soft: number, hard: number): number {
  if (hard <= soft) return soft;
  try {
    setrlimit(RLIMIT_NOFILE, { soft: hard, hard });
    return hard;
  } catch (error) {
    // A seccomp profile may forbid the call.
    if (isErrno(error, 'EPERM', 'EINVAL', 'ENOSYS')) return soft;
    throw error;
  }
}
