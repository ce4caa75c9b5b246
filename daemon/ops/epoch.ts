/**
 * The epoch of an agent: larger than that of every earlier agent of its node, so that an aggregator knows whom to believe. It is
 * kept in the state file, since a clock may go back.
 */
import type { AgentState } from '../core/state.ts';
import type { StateStore } from '../reconcile/ports.ts';

export interface Claimed {
  readonly epoch: number;
  /** As the store that was given, with the epoch in everything that it saves. */
  readonly store: StateStore;
}

/** Call with the lock held. `now` is in ms since the epoch of Unix. Never rejects. */
export async function claimEpoch(store: StateStore, now: number): Promise<Claimed> {
  const loaded = await store.load();
  const next = (loaded.state?.epoch ?? 0) + 1;
  const epoch = Math.max(Math.floor(now), Number.isSafeInteger(next) ? next : 1);
  // Without a state the next save has it. A disk that is full is told by that one too.
  if (loaded.state !== undefined) await store.save({ ...loaded.state, epoch }).catch(() => {});
  return {
    epoch,
    store: { load: async () => loaded, save: (state: AgentState) => store.save({ ...state, epoch }) },
  };
}
