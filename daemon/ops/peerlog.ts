/** Tells in the log who uses the agent's socket. Whoever asks in a loop must not fill it (I10). */
import type { Log } from './log.ts';

/** Users and groups that are remembered. */
const MAX_KNOWN = 64;

export interface PeerSeen {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** A user with a group once at level info, every other connection at level debug. */
export function peerLog(log: Pick<Log, 'info' | 'debug'>): (peer: PeerSeen) => void {
  const known = new Set<string>();
  return ({ pid, uid, gid }) => {
    const key = `${uid}:${gid}`;
    const fresh = !known.has(key) && known.size < MAX_KNOWN;
    if (fresh) known.add(key);
    log[fresh ? 'info' : 'debug']({ event: 'client', pid, uid, gid });
  };
}
