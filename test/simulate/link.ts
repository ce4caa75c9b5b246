/**
 * What ties one agent to the cluster: where its pods come from, and where its results go. In most runs quick doubles stand there
 * (`quicklink.ts`), in the others the agent's own reflector, publisher and client, over an API server in memory (`apilink.ts`).
 */
import type { PodSource, Publisher } from '../../daemon/reconcile/ports.ts';
import type { View } from './view.ts';

export interface Link {
  /** What the agent was told. */
  readonly view: View;
  readonly source: PodSource;
  readonly publisher: Publisher;
  /** How many pods are still to be told something. */
  readonly unfinished: number;
  /** Nothing is heard for so long, in ms, and nothing says so. */
  silence(ms: number): void;
  /** Nothing is in the way any more: what the agent was told wrongly is put right in the time that this takes, in ms. */
  mend(): number;
  /** Somebody else wrote to this pod. */
  forged(uid: string): void;
  /** What an agent that was asked to end does last. */
  flush(): Promise<void>;
  /** The agent has ended. */
  close(): void;
}
