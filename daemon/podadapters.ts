/** Where the agent's pods come from and where it tells them: a directory, or a cluster, whose libraries are loaded only then. */
import { DirectorySource } from './kube/directory.ts';
import { DirectoryPublisher } from './kube/status.ts';
import type { AgentOptions } from './ops/agentoptions.ts';
import { systemClock } from './ops/clock.ts';
import type { PodSource, Publisher } from './reconcile/ports.ts';

export interface PodAdapters {
  readonly source: PodSource;
  readonly publisher: Publisher;
  /** Of the node, for the nodeSelector of pools. */
  readonly labels: Readonly<Record<string, string>>;
  /** Writes what can still be written, within two seconds, and ends everything. */
  close(): Promise<void>;
}

export interface PodReports {
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly podsFailed: (error: unknown) => void;
  readonly publishFailed: (error: unknown) => void;
}

/** Rejects with CONFIG_INVALID. */
export async function openPods(options: AgentOptions, reports: PodReports): Promise<PodAdapters> {
  const { pods } = options;
  if (pods.kind === 'kubernetes') {
    const { openKubernetes } = await import('./kubernetes.ts');
    return openKubernetes(options, reports);
  }
  const clock = systemClock;
  const publisher = new DirectoryPublisher(pods.path, { clock, random: Math.random, onError: reports.publishFailed });
  return {
    source: new DirectorySource(pods.path, { clock }),
    publisher,
    labels: options.nodeLabels,
    close: () => publisher.flush(),
  };
}
