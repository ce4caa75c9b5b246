/**
 * What `berth doctor` judges a node and its agent by, gathered with the agent's adapters, but only to look. Every look is
 * bounded in time, and what cannot be seen is said. It must never change anything.
 */
import { access, constants } from 'node:fs/promises';
import { diff } from '../rules/change.ts';
import { type Element, elementId } from '../rules/element.ts';
import { nodeElements } from '../rules/elements.ts';
import { type Seen, seen, unseen } from './core/diagnosis.ts';
import { messageOf } from './core/errors.ts';
import type { MappingFilter } from './core/livemapping.ts';
import type { NodeAddress } from './core/vocabulary.ts';
import { glanceAtTable, type TableGlance } from './datapath/glance.ts';
import { NodeNetwork } from './datapath/network.ts';
import { probeLock, probeSockets, probeState } from './ops/doctor/agentprobe.ts';
import type { Comparison, NodeFacts } from './ops/doctor/facts.ts';
import type { DoctorOptions } from './ops/doctor/options.ts';
import { unprotectedRanges } from './ops/ephemeral.ts';
import { MappingClient } from './rpc/client.ts';
import { agentEndpoint } from './rpc/endpoint.ts';
import type { MappingView } from './rpc/views.ts';

/** How long the agent, or a disk, may take to answer, in ms. */
const PATIENCE_MS = 5_000;

export interface NodeEvidence {
  /** All but the host, which is looked at for a pod when there is one. */
  readonly facts: Omit<NodeFacts, 'host'>;
  /** Empty when they cannot be read. */
  readonly addresses: readonly NodeAddress[];
  readonly table: Seen<TableGlance>;
  /** What the agent announces. */
  readonly mappings: readonly MappingView[];
}

/** `filter`: which mappings the agent is asked for. Never rejects. */
export async function nodeEvidence(
  options: DoctorOptions,
  filter: MappingFilter,
  signal: AbortSignal,
): Promise<NodeEvidence> {
  const { socket, stateDir, pools } = options;
  const addresses = servedAddresses(options);
  const [table, answer, lock, state] = await Promise.all([
    glanceAtTable(),
    askAgent(socket, filter, signal),
    patiently(probeLock(stateDir), stateDir),
    patiently(probeState(stateDir), stateDir),
  ]);
  const holder = lock.kind === 'seen' ? lock.value.holder : undefined;
  const known = addresses.kind === 'seen' ? addresses.value : [];
  const facts = {
    socket,
    stateDir,
    addresses,
    table: table.kind === 'seen' ? seen(table.value.deviation) : table,
    nodeSets: table.kind === 'seen' ? seen(compared(nodeElements(known), table.value)) : table,
    answer,
    lock,
    state,
    sockets: holder === undefined ? unseen('nobody holds the lock') : await probeSockets(holder.pid),
    unprotected: unprotected(pools.flatMap(({ ranges }) => ranges)),
  };
  return { facts, addresses: known, table, mappings: answer.kind === 'answers' ? answer.mappings : [] };
}

/** What should stand in the table, held against what does. */
export function compared(wanted: readonly Element[], { elements }: TableGlance): Comparison {
  const desired = new Map(wanted.map((element) => [elementId(element), element]));
  const standing = new Map([...elements].filter(([id]) => desired.has(id)));
  const { add, remove } = diff(desired, standing);
  return { wanted, missing: add, instead: remove };
}

function servedAddresses({ hostAddresses }: DoctorOptions): Seen<readonly NodeAddress[]> {
  try {
    using network = new NodeNetwork({ hostAddresses });
    return seen(network.addresses());
  } catch (error) {
    return unseen(messageOf(error));
  }
}

type Answer =
  | { readonly kind: 'answers'; readonly mappings: readonly MappingView[] }
  | { readonly kind: 'silent' | 'unseen'; readonly why: string };

/** The first page is enough: it holds every mapping of one pod. */
async function askAgent(socket: string, filter: MappingFilter, signal: AbortSignal): Promise<Answer> {
  const forbidden = await access(socket, constants.R_OK | constants.W_OK).catch((error: unknown) => error);
  if (forbidden instanceof Error && 'code' in forbidden && forbidden.code === 'EACCES') {
    return { kind: 'unseen', why: `this user may not open ${socket}: only root and the socket's group may` };
  }
  const timeout = AbortSignal.timeout(PATIENCE_MS);
  using client = new MappingClient(agentEndpoint(socket));
  try {
    for await (const { mappings } of client.list(filter, AbortSignal.any([signal, timeout]))) {
      return { kind: 'answers', mappings };
    }
    return { kind: 'answers', mappings: [] };
  } catch (error) {
    const hangs = `the agent at ${socket} takes connections and does not answer within ${PATIENCE_MS / 1000} s: it hangs, or was stopped`;
    return { kind: 'silent', why: timeout.aborted ? hangs : messageOf(error) };
  }
}

/** A disk may hang: then that is the answer. */
async function patiently<T>(look: Promise<Seen<T>>, where: string): Promise<Seen<T>> {
  const { promise, resolve } = Promise.withResolvers<Seen<T>>();
  const timer = setTimeout(
    () => resolve(unseen(`${where} does not answer within ${PATIENCE_MS / 1000} s`)),
    PATIENCE_MS,
  );
  const answer = await Promise.race([look, promise]);
  clearTimeout(timer);
  return answer;
}

function unprotected(ranges: Parameters<typeof unprotectedRanges>[0]): NodeFacts['unprotected'] {
  try {
    return seen(unprotectedRanges(ranges));
  } catch (error) {
    return unseen(messageOf(error));
  }
}
