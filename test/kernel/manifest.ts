/** Pods as manifests: what a test says of a pod, what then stands in its file, and what the agent writes beside it. */
import { randomUUID } from 'node:crypto';
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Protocol } from '../../daemon/core/vocabulary.ts';
import type { Place } from './matrix/topology.ts';

/** A pod as a test describes it; what is left out is as in a pod that runs. */
export interface PodPlan {
  readonly name: string;
  readonly uid: string;
  readonly namespace?: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly ports?: readonly PortPlan[];
  readonly podIPs?: readonly string[];
  readonly phase?: string;
  readonly hostNetwork?: boolean;
  /** `metadata.deletionTimestamp` is set. */
  readonly terminating?: boolean;
  /** Every container has terminated. */
  readonly ended?: boolean;
  /** The condition ContainersReady is True. */
  readonly ready?: boolean;
  /** ms since the epoch. */
  readonly createdAt?: number;
}

export interface PortPlan {
  readonly name?: string;
  readonly containerPort: number;
  readonly protocol?: Protocol;
  readonly hostPort?: number;
  readonly hostIP?: string;
}

/** A pod that opts in with `berth.dev/ports` and has a uid of its own. */
export function pod(name: string, plan: Partial<PodPlan> = {}): PodPlan {
  const { annotations = { 'berth.dev/ports': '' } } = plan;
  return { uid: randomUUID(), ...plan, name, annotations };
}

/** Port 8080 for both protocols: they get one number. */
export const BOTH: readonly PortPlan[] = [
  { name: 'web', containerPort: 8080 },
  { name: 'game', containerPort: 8080, protocol: 'UDP' },
];

/** A pod that lives in the place, with both ports; called like the place unless it has a name. */
export function podAt({ name, address }: Place, plan: Partial<PodPlan> = {}): PodPlan {
  return pod(plan.name ?? name, { ports: BOTH, podIPs: [address[4], address[6]], ...plan });
}

/** What `.status` tells of a pod. */
export interface Told {
  readonly uid: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly conditions: readonly { readonly status: string; readonly reason: string; readonly message: string }[];
  readonly events: readonly {
    readonly type: string;
    readonly reason: string;
    readonly message: string;
    readonly count: number;
  }[];
}

/** A directory of manifests. A file takes its place in one step. */
export class Manifests {
  readonly path: string;
  readonly #draft: string;

  /** `draft` is a file on the same file system, outside. */
  constructor(path: string, draft: string) {
    this.path = path;
    this.#draft = draft;
  }

  write(plan: PodPlan): void {
    this.writeText(plan.name, JSON.stringify(objectOf(plan)));
  }

  writeText(name: string, text: string): void {
    writeFileSync(this.#draft, text);
    renameSync(this.#draft, join(this.path, `${name}.json`));
  }

  /** What this very pod was told; undefined when nothing. */
  told({ namespace = 'default', name, uid }: PodPlan): Told | undefined {
    try {
      const text = readFileSync(join(this.path, '.status', `${namespace}_${name}.json`), 'utf8');
      const told: Told = JSON.parse(text);
      return told.uid === uid ? told : undefined;
    } catch {
      return undefined;
    }
  }

  remove(name: string): void {
    rmSync(join(this.path, `${name}.json`), { force: true });
  }
}

function objectOf(plan: PodPlan): unknown {
  const { name, uid, namespace = 'default', annotations, ports = [], podIPs = [], phase = 'Running' } = plan;
  const stamp = (ms: number) => new Date(ms).toISOString();
  const state = plan.ended ? { terminated: { exitCode: 0 } } : { running: {} };
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace,
      uid,
      annotations,
      creationTimestamp: stamp(plan.createdAt ?? Date.now()),
      ...(plan.terminating ? { deletionTimestamp: stamp(Date.now()) } : {}),
    },
    spec: { hostNetwork: plan.hostNetwork ?? false, containers: [{ name: 'main', ports }] },
    status: {
      phase,
      podIPs: podIPs.map((ip) => ({ ip })),
      containerStatuses: [{ name: 'main', state }],
      conditions: [{ type: 'ContainersReady', status: plan.ready ? 'True' : 'False' }],
    },
  };
}
