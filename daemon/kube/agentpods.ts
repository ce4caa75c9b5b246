/**
 * On which node each agent's pod runs, as the API server has it: who a token belongs to says the pod, not the node, before
 * Kubernetes 1.30. It never forgets a pod because the API server is away.
 */
import * as v from 'valibot';
import type { BerthError } from '../core/errors.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import type { ApiClient } from './api/client.ts';
import { ListWatch } from './listwatch.ts';
import { isPodName } from './podschema.ts';

export interface AgentPodsOptions {
  readonly client: ApiClient;
  readonly namespace: string;
  /** Such as `app.kubernetes.io/name=berth,app.kubernetes.io/component=agent`. */
  readonly labelSelector: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly reconnectCapMs: number;
  /** The nodes on which an agent's pod runs, after each change of them. */
  readonly onNodes: (nodes: ReadonlySet<string>) => void;
  readonly onError: (error: BerthError) => void;
}

interface AgentPod {
  readonly name: string;
  readonly node: string;
  /** It has ended, and its node is not heard of through it any more. */
  readonly ended: boolean;
}

const AGENT_POD = v.object({
  metadata: v.object({ name: v.pipe(v.string(), v.check(isPodName)), uid: v.pipe(v.string(), v.maxLength(64)) }),
  // Without a node it has not been scheduled.
  spec: v.object({ nodeName: v.pipe(v.string(), v.check(isPodName)) }),
  status: v.optional(v.object({ phase: v.optional(v.string()) })),
});

export class AgentPods {
  readonly #options: AgentPodsOptions;
  readonly #pods = new Map<string, AgentPod>();
  #nodes: ReadonlySet<string> = new Set();
  #listed = false;

  constructor(options: AgentPodsOptions) {
    this.#options = options;
  }

  /** Until the signal aborts. Never rejects. */
  run(signal: AbortSignal): Promise<void> {
    const { client, namespace, labelSelector, clock, random, reconnectCapMs, onError } = this.#options;
    const pods = new ListWatch({
      client,
      path: `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods`,
      selector: { labelSelector },
      what: 'pods of agents',
      clock,
      random,
      reconnectCapMs,
    });
    const observer = {
      listed: (objects: readonly unknown[]) => {
        this.#pods.clear();
        for (const object of objects) this.#put(object);
        // The first time, none is news too.
        this.#tell(!this.#listed);
        this.#listed = true;
      },
      changed: (object: unknown) => {
        this.#put(object);
        this.#tell();
      },
      deleted: (object: unknown) => {
        const read = v.safeParse(AGENT_POD, object);
        if (read.success) this.#pods.delete(read.output.metadata.uid);
        this.#tell();
      },
      failed: onError,
    };
    return pods.run(observer, signal);
  }

  /** False until the first list: then nothing is known of any pod. */
  get listed(): boolean {
    return this.#listed;
  }

  /** The node of the pod of this name and uid, undefined when there is no such agent. */
  nodeOf(name: string, uid: string): string | undefined {
    const pod = this.#pods.get(uid);
    return pod?.name === name ? pod.node : undefined;
  }

  #put(object: unknown): void {
    const read = v.safeParse(AGENT_POD, object);
    if (!read.success) return;
    const { metadata, spec, status } = read.output;
    const ended = status?.phase === 'Succeeded' || status?.phase === 'Failed';
    this.#pods.set(metadata.uid, { name: metadata.name, node: spec.nodeName, ended });
  }

  #tell(always = false): void {
    const nodes = new Set([...this.#pods.values()].filter(({ ended }) => !ended).map(({ node }) => node));
    if (!always && nodes.size === this.#nodes.size && nodes.isSubsetOf(this.#nodes)) return;
    this.#nodes = nodes;
    this.#options.onNodes(nodes);
  }
}
