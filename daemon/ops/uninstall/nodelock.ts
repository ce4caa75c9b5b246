/** The agent's lock, taken for uninstalling: an agent that runs would put everything back. */
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { BerthError } from '../../core/errors.ts';
import { printable } from '../../core/text.ts';
import { done, type Step } from '../../reconcile/uninstall/steps.ts';
import { probeLock } from '../doctor/agentprobe.ts';
import { acquireLock, type Lock } from '../lock.ts';
import type { UninstallOptions } from './options.ts';

const STOP = 'stop it first (in a cluster: delete the DaemonSet of the agent), or wait longer for it with --timeout';

/** Rejects with LOCK_HELD when an agent still runs after the time that is given, with STATE_UNUSABLE when that cannot be known. */
export async function takeLock(
  { stateDir, timeoutMs }: Pick<UninstallOptions, 'stateDir' | 'timeoutMs'>,
  { stderr, signal }: { readonly stderr: Writable; readonly signal: AbortSignal },
): Promise<Lock> {
  const patience = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]);
  let holder: number | undefined;
  const onWait = (pid: number | undefined) => {
    holder = pid;
    if (timeoutMs > 0) stderr.write(`berth uninstall: waiting for the agent of this node to end (${pidText(pid)})\n`);
  };
  try {
    return await acquireLock(stateDir, { signal: patience, onWait });
  } catch (error) {
    if (!patience.aborted || signal.aborted) throw error;
    throw new BerthError('LOCK_HELD', printable(`${heldMessage(stateDir, holder)}: ${STOP}`, 1_024), { cause: error });
  }
}

/** For a dry run, which takes nothing and so keeps nobody waiting. */
export function lockStep(stateDir: string): Step {
  return {
    name: 'lock',
    remedy: 'see who holds it with berth doctor',
    async run() {
      const lock = await probeLock(stateDir);
      const holder = lock.kind === 'seen' ? lock.value.holder : undefined;
      if (holder === undefined) return done('no agent runs on this node');
      return { says: '', left: [{ what: heldMessage(stateDir, holder.pid), remedy: STOP }] };
    },
  };
}

function heldMessage(stateDir: string, pid: number | undefined): string {
  return `the agent of this node still runs (${pidText(pid)}) and holds ${join(stateDir, 'lock')}`;
}

function pidText(pid: number | undefined): string {
  return pid === undefined ? 'its pid is not known' : `pid ${pid}`;
}
