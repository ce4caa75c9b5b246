/** A cluster that is told what a test wants, and its page for Prometheus over a real socket. */
import type { ExecutionContext } from 'ava';
import { ClusterRegistry } from '../../daemon/core/cluster.ts';
import { keyOf } from '../../daemon/core/livemapping.ts';
import type { ReportedAddress } from '../../daemon/core/noderecord.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { Discovery } from '../../daemon/ops/discovery.ts';
import { serveHttp } from '../../daemon/ops/http.ts';
import { agentOf, at, opened } from '../core/reports.ts';

export interface Discovered {
  readonly url: string;
  readonly cluster: ClusterRegistry;
  readonly state: { ready: boolean };
  /** The node has these mappings, and no others. */
  tell(node: string, addresses: readonly ReportedAddress[], mappings: readonly Mapping[]): void;
}

export interface Target {
  readonly targets: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
}

export async function discovered(t: ExecutionContext): Promise<Discovered> {
  const cluster = new ClusterRegistry();
  const state = { ready: true };
  const abort = new AbortController();
  const discovery = new Discovery({ cluster, ready: () => state.ready });
  const sources = {
    metrics: async () => ({ type: 'text/plain', text: '' }),
    live: () => ({ ok: true, text: '' }),
    ready: () => ({ ok: true, text: '' }),
    pages: { '/sd/prometheus': (query: URLSearchParams) => discovery.answer(query) },
  };
  const { address, closed } = await serveHttp({ host: '127.0.0.1', port: 0 }, sources, abort.signal);
  t.teardown(async () => {
    abort.abort();
    await closed;
  });
  let epoch = 0;
  return {
    url: `http://127.0.0.1:${address.port}/sd/prometheus`,
    cluster,
    state,
    tell: (node, addresses, mappings) => {
      epoch += 1;
      const session = opened(cluster, agentOf(node, epoch), epoch);
      session.status({ addresses, pools: [] }, at(epoch));
      const key = ({ pod, name, protocol }: Mapping) => keyOf(node, pod, name, protocol);
      const sorted = mappings.toSorted((one, other) => (key(one) < key(other) ? -1 : 1));
      const part = { mappings: sorted.map((mapping) => ({ mapping, since: 0 })), sequence: 1 };
      const reply = session.snapshot(part, at(epoch));
      if (reply.kind !== 'ack') throw new Error(JSON.stringify(reply));
    },
  };
}
