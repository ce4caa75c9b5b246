/**
 * Many nodes in one process, each with the agent's own registry and reporter and a TLS connection of its own. A program. What it does
 * besides that is cheap: it has the processors together with the aggregator that is measured.
 */

import { MappingRegistry } from '../../../daemon/core/registry.ts';
import { systemClock } from '../../../daemon/ops/clock.ts';
import { grpcConnector } from '../../../daemon/rpc/reportconnector.ts';
import { Reporter } from '../../../daemon/rpc/reporter.ts';
import { SILENT } from '../../rpc/silent.ts';
import { credentialsOf, NAMED, type Place } from './channel.ts';
import { answering } from './member.ts';
import { CHANGING, MAPPINGS_PER_NODE, mappingOf, nodeName, PROBE, tokenOf } from './population.ts';

export interface Nodes {
  readonly first: number;
  readonly count: number;
}

export interface NodesQuestions {
  start(place: Place, nodes: Nodes): void;
  /** How many streams are accepted. */
  connected(): number;
  /** From now on so many mappings a second come or go, in all nodes by turns; every so many ms one that comes is a probe. */
  change(perSecond: number, probeMs: number): void;
  /** How many changes there were. What has gone comes back. */
  rest(): number;
}

interface SimulatedNode {
  readonly index: number;
  readonly registry: MappingRegistry;
  readonly reporter: Reporter;
}

/** What is gone comes back so many ms later, as another pod. */
const GAP_MS = 1_000;
const TICK_MS = 10;

const nodes: SimulatedNode[] = [];
/** What has gone, oldest first. */
const gone: { readonly at: number; readonly node: SimulatedNode; readonly slot: number }[] = [];
/** The pod that is in a slot where it is not the first one. */
const pods = new Map<string, string>();
let made = 0;
let turn = 0;
let probeAt = Number.POSITIVE_INFINITY;
let timer: NodeJS.Timeout | undefined;

function simulated(place: Place, index: number): SimulatedNode {
  // A node's agent keeps 10,000 changes; with so many nodes in a process that is left out.
  const registry = new MappingRegistry(64);
  const name = nodeName(index);
  for (let slot = 0; slot < MAPPINGS_PER_NODE; slot++) registry.set(name, mappingOf(index, slot), Date.now());
  const [host = '', port = ''] = place.address.split(':');
  const reporter = new Reporter({
    registry,
    targets: [{ host, port: Number(port), literal: true }],
    agent: { node: name, bootID: `boot-${index}`, epoch: 1, version: '1.0.0' },
    addresses: () => [
      { type: 2, address: `10.100.${index >> 8}.${index & 255}` },
      { type: 3, address: `198.18.${index >> 8}.${index & 255}` },
      { type: 4, address: name },
    ],
    pools: () => [{ name: 'default', ports: 10_000, freeTcp: 9_970, freeUdp: 9_970, freeSctp: 10_000 }],
    connect: grpcConnector(credentialsOf(place, tokenOf(name)), NAMED),
    resolve: async () => [],
    clock: systemClock,
    random: Math.random,
    observer: { ...SILENT, resync: (_address, reason) => console.error(`${name}: resync: ${reason}`) },
  });
  reporter.start();
  return { index, registry, reporter };
}

function take(): void {
  const node = nodes[turn % nodes.length] as SimulatedNode;
  const slot = Math.floor(turn / nodes.length) % CHANGING;
  turn += 1;
  const { pod, name, protocol } = mappingOf(node.index, slot, pods.get(`${node.index} ${slot}`));
  node.registry.delete(nodeName(node.index), pod, name, protocol);
  gone.push({ at: performance.now(), node, slot });
  made += 1;
}

function give(probeMs: number): void {
  const { node, slot } = gone.shift() as (typeof gone)[number];
  const now = performance.now();
  const probed = now >= probeAt;
  if (probed) probeAt = Math.max(probeAt + probeMs, now);
  made += 1;
  const word = probed
    ? `${PROBE}${String(process.hrtime.bigint()).padStart(16, '0')}`
    : `game-server-${String(made).padStart(10, '0')}-again`;
  const pod = `${word}-${node.index}`;
  pods.set(`${node.index} ${slot}`, pod);
  node.registry.set(nodeName(node.index), mappingOf(node.index, slot, pod), Date.now());
}

const answers: NodesQuestions = {
  start: (place, { first, count }) => {
    for (let index = first; index < first + count; index++) nodes.push(simulated(place, index));
  },
  connected: () => nodes.filter(({ reporter }) => reporter.connected > 0).length,
  change: (perSecond, probeMs) => {
    made = 0;
    const began = performance.now();
    probeAt = began + GAP_MS;
    timer = setInterval(() => {
      const now = performance.now();
      let due = Math.floor(((now - began) / 1_000) * perSecond) - made;
      for (; due > 0; due -= 1) {
        const [oldest] = gone;
        if (oldest !== undefined && oldest.at <= now - GAP_MS) give(probeMs);
        else take();
      }
    }, TICK_MS);
  },
  rest: () => {
    clearInterval(timer);
    const changes = made;
    while (gone.length > 0) give(Number.POSITIVE_INFINITY);
    return changes;
  },
};

answering(answers);
