/** Where the agent's pods come from, and how they are told and untold: a directory, or a cluster, whose libraries are loaded only then. */
import type { ReportedAddress } from './core/noderecord.ts';
import { DirectorySource } from './kube/directory.ts';
import { DirectoryPublisher } from './kube/status.ts';
import { StatusAnnouncements } from './kube/statusannouncements.ts';
import type { AgentOptions } from './ops/agentoptions.ts';
import { systemClock } from './ops/clock.ts';
import type { ClaimSource, PodSource, Publisher } from './reconcile/ports.ts';
import type { Announcements } from './reconcile/uninstall/ports.ts';

export interface PodAdapters {
  readonly source: PodSource;
  /** Absent: there is no cluster that could have claims. */
  readonly claims?: ClaimSource;
  readonly publisher: Publisher;
  /** Of the node, for the nodeSelector of pools. */
  readonly labels: Readonly<Record<string, string>>;
  /** Of the node, as the API server has them now. */
  readonly addresses: readonly ReportedAddress[];
  /** Removes what was written outside of pods for those that are gone. Rejects when it is not known which pods there are. */
  tidy?(): Promise<void>;
  /** Writes what can still be written, within two seconds, and ends everything. */
  close(): Promise<void>;
}

export interface PodReports {
  readonly signal: AbortSignal;
  readonly warn: (message: string) => void;
  readonly podsFailed: (error: unknown) => void;
  readonly publishFailed: (error: unknown) => void;
}

export type ClusterIdentity = Pick<AgentOptions, 'nodeName' | 'kubeconfig'>;

export interface OpenAnnouncements {
  readonly announcements: Announcements;
  close(): Promise<void>;
}

/** What the agent told its pods. Rejects with CONFIG_INVALID. */
export async function openAnnouncements(
  options: ClusterIdentity & Pick<AgentOptions, 'pods'>,
  signal: AbortSignal,
): Promise<OpenAnnouncements> {
  const { pods } = options;
  if (pods.kind === 'kubernetes') return (await import('./kubernetes.ts')).openAnnouncements(options, signal);
  const announcements = new StatusAnnouncements(pods.path, systemClock, Math.random);
  return { announcements, close: () => Promise.resolve() };
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
  const source = new DirectorySource(pods.path, { clock });
  return {
    source,
    publisher,
    labels: options.nodeLabels,
    addresses: [],
    tidy: () => publisher.forgetOthers(() => source.list()),
    close: () => publisher.flush(),
  };
}
