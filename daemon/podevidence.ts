/**
 * What `berth doctor` judges one pod by: its request, its numbers, and what stands for them in the kernel, at the agent and in
 * the pod. Gathered with the agent's adapters, but only to look. It must never change anything.
 */
import { adopt } from '../rules/adoption.ts';
import { CLAIM_POOL } from './core/claim.ts';
import { type Passage, type Seen, seen } from './core/diagnosis.ts';
import { disagrees, type Flow } from './core/flow.ts';
import { portKey } from './core/ledger.ts';
import { podAddresses } from './core/podstate.ts';
import type { Grant } from './core/state.ts';
import type { Mapping, Pod, PortRequest, Reservation } from './core/vocabulary.ts';
import { glanceAtFlows, glanceAtWay } from './datapath/glance.ts';
import { NodeNetwork } from './datapath/network.ts';
import { furtherSight } from './datapath/sight.ts';
import { isErrno } from './native/errno.ts';
import { close } from './native/libc.ts';
import { compared, type NodeEvidence } from './nodeevidence.ts';
import type { GivenNumber, Holder, ListenFacts, PodFacts, PortFacts, WayFacts } from './ops/doctor/facts.ts';
import { type HolderProbe, listSockets, probeHolder } from './ops/doctor/holderprobe.ts';
import { probeListening } from './ops/doctor/listenprobe.ts';
import type { DoctorOptions } from './ops/doctor/options.ts';
import { podPlace } from './podplace.ts';
import { asksFor, assess, type Demand, partsOf } from './reconcile/demand.ts';
import { ownElements } from './reconcile/plan.ts';
import { flowTruth } from './reconcile/truth.ts';
import { mappingOf } from './reconcile/wanted.ts';
import { holdNumber } from './reserve/socket.ts';
import type { Target } from './rpc/arguments.ts';

/** `target` names the port that is asked about, if any. Never rejects. */
export async function podEvidence(
  pod: Pod,
  target: Target,
  condition: PodFacts['condition'],
  options: DoctorOptions,
  node: NodeEvidence,
): Promise<PodFacts> {
  const own = new Set(node.addresses.map(({ address }) => address));
  const isNodeAddress = (address: string) => own.has(address) || address.startsWith('127.');
  const pools = new Map(options.pools.map((pool) => [pool.name, pool]));
  const servesStatics = options.staticHostPorts;
  const view = { labels: options.nodeLabels, addresses: node.addresses, isNodeAddress, servesStatics };
  const assessment = assess(pod, pools, view, heldAddress(pod, node));
  const addresses = podAddresses(pod, isNodeAddress);
  const demand = assessment.kind === 'wanted' ? assessment : undefined;
  const requests = (demand === undefined ? [] : partsOf(demand)).flatMap((part) =>
    part.request.requests.filter((request) => isMeant(request, target)).map((request) => ({ part, request })),
  );
  const numbered = requests.map((one) => ({ ...one, number: givenNumber(one.part, one.request, node) }));
  const mappings = numbered.flatMap(({ number }) => number?.mapping ?? []);
  const truth = flowTruth(mappings, 'all', [], isNodeAddress);
  const [sockets, flows] = await Promise.all([
    listSockets(),
    glanceAtFlows(mappings.map(({ protocol, hostPort, size }) => ({ protocol, port: hostPort, size }))),
  ]);
  const agent = node.facts.lock.kind === 'seen' ? node.facts.lock.value.holder?.pid : undefined;
  const strays =
    flows.kind === 'seen'
      ? seen(flows.value.filter((flow) => disagrees(flow, truth) && !mayDrain(flow, mappings)))
      : flows;
  const probe = { sockets, agent, isFree };
  const ports = numbered.map(({ request, number, part }) => portEvidence(request, number, part, node, strays, probe));
  const sane = addresses.kind === 'sane' ? addresses.addresses : [];
  return {
    pod,
    place: await podPlace(options.pods, pod),
    assessment,
    addresses,
    condition,
    asked: target.port,
    ports: await Promise.all(ports),
    ways: waysTo(demand === undefined || demand.units.length === 0 ? sane : demand.podIPs),
  };
}

/** The connections that a filter on the way would have to let through. */
export function podPassages({ ports, ways }: PodFacts): readonly Passage[] {
  const devices = new Map(ways.map(({ podIP, way }) => [podIP, way.kind === 'seen' ? way.value?.device : undefined]));
  return ports.flatMap(({ number }) => {
    if (number === undefined) return [];
    const { protocol, containerPort: port, podIPs } = number.mapping;
    return podIPs.map((destination): Passage => {
      const output = devices.get(destination);
      const family = destination.includes(':') ? 6 : 4;
      return { family, ...(output === undefined ? {} : { output }), destination, protocol, port };
    });
  });
}

/** It may belong to the pod that had a claim's number before: which pods these are is not known here. */
function mayDrain({ protocol, port, destination, replySource }: Flow, mappings: readonly Mapping[]): boolean {
  const isClaimed = mappings.some(
    (one) => one.pool === CLAIM_POOL.name && one.protocol === protocol && one.hostPort === port,
  );
  return isClaimed && replySource !== destination;
}

function isMeant({ name, protocol, target: to }: PortRequest, { question, containerPort }: Target): boolean {
  if (question.name !== undefined && question.name !== name) return false;
  if (question.protocol !== undefined && question.protocol !== protocol) return false;
  if (containerPort === undefined) return true;
  if (to.kind === 'port') return to.port === containerPort;
  return to.kind === 'numbers' && containerPort >= to.first && containerPort <= to.last;
}

/** The address of the node at which the pod has what it asks for: of several that would do, the agent keeps that one. */
function heldAddress(pod: Pod, { facts, mappings, table }: NodeEvidence): string | undefined {
  const grants = facts.state.kind === 'seen' ? (facts.state.value.state?.grants ?? []) : [];
  const told = mappings.map((one) => ({ ...one, uid: one.podUID }));
  const ruled = table.kind === 'seen' ? adopt([...table.value.elements.values()]) : [];
  const numbers = [...grants, ...told, ...ruled].filter(({ uid, hostIP }) => uid === pod.uid && hostIP !== undefined);
  return numbers.find((one) => asksFor(pod, portKey(one)))?.hostIP;
}

/** The number of a port: of the state file if it can be read, else by word of the agent, else as the rules have it. */
function givenNumber(
  demand: Demand,
  request: PortRequest,
  { facts, mappings, table }: NodeEvidence,
): GivenNumber | undefined {
  const { uid, namespace, name: pod } = demand.pod;
  const { name, protocol } = request;
  const of = (grant: Grant, source: GivenNumber['source']) => ({
    grant,
    source,
    mapping: mappingOf(demand, grant, demand.podIPs),
  });
  const grants = facts.state.kind === 'seen' ? (facts.state.value.state?.grants ?? []) : [];
  const grant = grants.find((one) => one.uid === uid && one.name === name && one.protocol === protocol);
  if (grant !== undefined) return of(grant, 'state file');
  const identity = { uid, namespace, pod, name, protocol, pool: demand.request.pool };
  const told = mappings.find((one) => one.podUID === uid && one.name === name && one.protocol === protocol);
  if (told !== undefined) {
    const { hostPort, endPort, containerPort, hostIP } = told;
    const numbers = { hostPort, size: endPort - hostPort + 1, containerPort };
    return of({ ...identity, ...numbers, ...(hostIP === undefined ? {} : { hostIP }) }, 'agent');
  }
  const elements = table.kind === 'seen' ? [...table.value.elements.values()] : [];
  const ruled = adopt(elements).find((one) => one.uid === uid && one.name === name && one.protocol === protocol);
  if (ruled === undefined) return undefined;
  const { hostPort, size, containerPort, hostIP } = ruled;
  return of({ ...identity, hostPort, size, containerPort, ...(hostIP === undefined ? {} : { hostIP }) }, 'kernel');
}

async function portEvidence(
  request: PortRequest,
  number: GivenNumber | undefined,
  { podIPs }: Demand,
  { table }: NodeEvidence,
  strays: Seen<readonly Flow[]>,
  probe: HolderProbe,
): Promise<PortFacts> {
  const [holder, listening] = await Promise.all([holderOf(number, probe), listeners(request, number, podIPs)]);
  if (number === undefined) return { request, number, holder, rule: undefined, flows: undefined, listening };
  const { mapping } = number;
  const rule = table.kind === 'seen' ? seen(compared(ownElements(mapping, table.value.elements), table.value)) : table;
  const concerns = ({ protocol, port }: Flow) =>
    protocol === mapping.protocol && port >= mapping.hostPort && port < mapping.hostPort + mapping.size;
  const flows = strays.kind === 'seen' ? seen(strays.value.filter(concerns)) : strays;
  return { request, number, holder, rule, flows, listening };
}

async function holderOf(number: GivenNumber | undefined, probe: HolderProbe): Promise<Seen<Holder> | undefined> {
  if (number === undefined || number.mapping.protocol === 'SCTP') return undefined;
  const { protocol, hostPort: port, size, hostIP } = number.mapping;
  return probeHolder({ protocol, port, ...(hostIP === undefined ? {} : { hostIP }) }, size, probe);
}

/** Of a block the first number is tried. */
async function listeners(
  { protocol, target }: PortRequest,
  number: GivenNumber | undefined,
  podIPs: readonly string[],
): Promise<readonly ListenFacts[]> {
  const named = target.kind === 'port' ? target.port : target.kind === 'numbers' ? target.first : undefined;
  const port = named ?? number?.mapping.containerPort;
  if (port === undefined || protocol === 'SCTP') return [];
  return Promise.all(
    podIPs.map(async (podIP) => ({ podIP, port, listening: await probeListening(protocol, podIP, port) })),
  );
}

/** The only way to know of a TCP number that is bound and not listened at. Throws what the kernel says but EADDRINUSE. */
function isFree({ protocol, port, hostIP }: Reservation): boolean {
  const held = holdNumber(protocol === 'UDP' ? 'UDP' : 'TCP', port, hostIP ?? '');
  if (held.kind === 'bound') {
    close(held.descriptor);
    return true;
  }
  if (held.at === 'bind' && isErrno(held.error, 'EADDRINUSE')) return false;
  throw held.error;
}

function waysTo(podIPs: readonly string[]): readonly WayFacts[] {
  return podIPs.map((podIP) => {
    const way = furtherSight(glanceAtWay(podIP), (one) => {
      using network = new NodeNetwork();
      const leadsToPods = network.route(podIP) !== undefined;
      return one && { device: one.device, routeLocalnet: one.routeLocalnet, leadsToPods };
    });
    return { podIP, way };
  });
}
