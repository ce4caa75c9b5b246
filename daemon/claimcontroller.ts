/**
 * Wires the controller of claims into an aggregator: its client, who leads, where it tells what it does. It never stops the aggregator: what
 * it cannot do it says, and tries again.
 */
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { openEvents } from './aggregatorevents.ts';
import { ClaimController } from './claims/controller.ts';
import { Election, type Fence } from './claims/election.ts';
import type { About, ClaimEvent, ClaimRecorder } from './claims/ports.ts';
import { nodePoolsOf } from './core/claims/nodepools.ts';
import { summaryOf } from './core/claims/summary.ts';
import type { NodeRecord } from './core/noderecord.ts';
import { ApiClient } from './kube/api/client.ts';
import { findCredentials } from './kube/api/connect.ts';
import { ApiLease } from './kube/claims/lease.ts';
import { ClaimObjects } from './kube/claims/objects.ts';
import type { Involved } from './kube/eventbook.ts';
import type { EventWriter } from './kube/eventwriter.ts';
import { Forbidden } from './kube/forbidden.ts';
import type { AggregatorMetrics } from './ops/aggregatormetrics.ts';
import type { AggregatorOptions } from './ops/aggregatoroptions.ts';
import type { ClaimMetrics } from './ops/claimmetrics.ts';
import { systemClock } from './ops/clock.ts';
import type { Log } from './ops/log.ts';
import { Repetition } from './ops/repetition.ts';
import { VERSION } from './version.ts';

const RECONNECT_CAP_MS = 30_000;

export interface ClaimSurroundings {
  /** What agents have told of their nodes; undefined while not all have. */
  readonly reported: () => ReadonlyMap<string, NodeRecord> | undefined;
  readonly log: Log;
  readonly metrics: AggregatorMetrics;
}

type ClaimOptions = Pick<AggregatorOptions, 'aggregatorNamespace' | 'claimsLease' | 'kubeconfig'>;

/** Runs until it is disposed of. Rejects with CONFIG_INVALID. */
export async function openClaims(options: ClaimOptions, surroundings: ClaimSurroundings): Promise<AsyncDisposable> {
  const { reported, log, metrics } = surroundings;
  const credentials = await findCredentials(options.kubeconfig, process.env, systemClock);
  const client = new ApiClient({ credentials, clock: systemClock, userAgent: `berth-claims/${VERSION}` });
  let controller: ClaimController | undefined;
  let leading = false;
  const counted = metrics.withClaims(() => ({
    leading,
    summary: controller?.view === undefined ? undefined : summaryOf(controller.view),
  }));
  const failed = failures(log);
  const told = (error: Error) => failed('events', error);
  const otherwise = 'claims are bound without it, but nobody is told';
  const events = openEvents(client, new Forbidden(told, 'aggregator', otherwise), told);
  const recorder = recording(log, counted, events, failed);
  const identity = `${hostname()}_${randomUUID()}`;
  const election = new Election({
    store: new ApiLease({
      client,
      namespace: options.aggregatorNamespace,
      name: options.claimsLease,
      now: systemClock.now,
    }),
    identity,
    clock: systemClock,
    random: Math.random,
    lead: async (fence: Fence, signal) => {
      const shared = { clock: systemClock, random: Math.random };
      const api = new ClaimObjects({ client, ...shared, fence, reconnectCapMs: RECONNECT_CAP_MS, signal });
      controller = new ClaimController({
        ...shared,
        timestamp: () => `${new Date().toISOString().slice(0, 19)}Z`,
        api,
        recorder,
        nodePools: () => {
          const records = reported();
          return records && nodePoolsOf(records);
        },
      });
      await controller.run(signal);
      controller = undefined;
    },
    onLeading: (now) => {
      leading = now;
      log.info({ event: now ? 'claims-leading' : 'claims-following', identity });
    },
    onError: (error) => failed('lease', error),
  });
  const end = new AbortController();
  const running = election.run(end.signal);
  return {
    async [Symbol.asyncDispose]() {
      end.abort();
      await running;
      events.stop();
      await client[Symbol.asyncDispose]();
    },
  };
}

type Failed = (operation: string, error: Error) => void;

/** A failure that goes on is said less and less often (I10). */
function failures(log: Log): Failed {
  const repetition = new Repetition(systemClock);
  return (operation, error) => {
    if (repetition.admit('claims', operation, error.message)) {
      log.warn({ event: 'failure', operation: `claims: ${operation}`, error });
    }
  };
}

function recording(log: Log, metrics: ClaimMetrics, events: EventWriter, failed: Failed): ClaimRecorder {
  return {
    record: (event: ClaimEvent) => {
      switch (event.kind) {
        case 'news': {
          const { about, news } = event;
          const { name } = about.object.meta;
          const claimed = involved(about);
          const of = claimed.namespace === '' ? name : `${claimed.namespace}/${name}`;
          log.info({ event: 'claims', kind: about.kind, of, reason: news.reason, message: news.message });
          return events.note(claimed, news);
        }
        case 'step':
          return metrics.step(event.step, event.outcome);
        case 'failure':
          metrics.step(event.operation, 'failed');
          return failed(event.operation, event.error);
        case 'synced':
          return log.info({ event: 'claims-synced' });
        case 'pass':
          return metrics.pass(event.ms);
      }
    },
  };
}

function involved({ kind, object }: About): Involved {
  const { name, uid } = object.meta;
  const namespace = 'namespace' in object.meta ? object.meta.namespace : '';
  const apiVersion = kind === 'StatefulSet' ? 'apps/v1' : 'berth.dev/v1alpha1';
  return { namespace, name, uid, type: { apiVersion, kind } };
}
