/**
 * The static `hostPort`s of a pod as demands: one a port, so that none of them waits for another or for what the pod asks for
 * in its annotations. Pure: problems are data.
 */
import { type PodAddresses, podAddresses } from '../core/podstate.ts';
import type { PortRange } from '../core/pool.ts';
import { parseSources } from '../core/request.ts';
import { STATIC_POOL, type StaticPort, staticPorts } from '../core/staticports.ts';
import { printable } from '../core/text.ts';
import type { Cidr, NodeAddress, Pod, PortRequest, Problem } from '../core/vocabulary.ts';
import { podLabel } from '../core/vocabulary.ts';
import { addressing } from './addressing.ts';
import type { Demand } from './demand.ts';

/** A demand for one static host port. */
export function isFixed(demand: Pick<Demand, 'pool'>): boolean {
  return demand.pool === STATIC_POOL;
}

export interface StaticDemands {
  readonly demands: readonly Demand[];
  /** Why a port of the pod is not among them; the first of several. */
  readonly problem?: Problem;
}

/** `requests`: what the pod asks for in its annotations, whose names are taken. */
export function staticDemands(
  pod: Pod,
  requests: readonly PortRequest[],
  node: { readonly addresses: readonly NodeAddress[]; readonly isNodeAddress: (address: string) => boolean },
): StaticDemands {
  const names = requests.map(({ name }) => name);
  const ports = staticPorts(pod, names);
  if (ports.length === 0) return { demands: [] };
  const sources = parseSources(pod);
  // Whoever limits the sources and errs must not find the port open to everybody.
  if (sources.kind === 'problem') return { demands: [], problem: sources.problem };
  const addresses = podAddresses(pod, node.isNodeAddress);
  const own = node.addresses.map(({ address }) => address);
  const wrong = ports.find((port) => port.wrong !== undefined);
  return {
    demands: ports
      .filter((port) => port.wrong === undefined)
      .map((port) => demandOf(pod, port, sources.allowFrom, addresses, own)),
    ...(wrong === undefined ? {} : { problem: problem(pod, 'InvalidPortRequest', wrong, wrong.wrong ?? '') }),
  };
}

function demandOf(
  pod: Pod,
  port: StaticPort,
  allowFrom: readonly Cidr[] | undefined,
  addresses: PodAddresses,
  own: readonly string[],
): Demand {
  const { request, hostPort, hostIP } = port;
  const lacks = hostIP !== undefined && !hostIP.startsWith('127.') && !own.includes(hostIP);
  const { podIPs, blocked } = addressing(
    pod,
    addresses,
    hostIP,
    (family) => `give hostPort ${hostPort} an ${family} address of the node as its hostIP, or none`,
  );
  const why = lacks
    ? problem(pod, 'HostIPNotFound', port, `the node has no address ${hostIP}; it has ${own.join(', ') || 'none'}`)
    : blocked;
  return {
    kind: 'wanted',
    pod,
    request: {
      pool: STATIC_POOL.name,
      requests: [request],
      ...(allowFrom === undefined ? {} : { allowFrom }),
      berth: false,
      galaxy: false,
    },
    units: [{ requests: [request], protocols: [request.protocol], size: 1, exact: hostPort }],
    pool: STATIC_POOL,
    podIPs: why === undefined ? podIPs : [],
    ...(hostIP === undefined ? {} : { hostIP }),
    ...(why === undefined ? {} : { blocked: why }),
  };
}

function problem(pod: Pod, reason: Problem['reason'], { request, hostPort }: StaticPort, what: string): Problem {
  const message = `pod ${podLabel(pod)}: hostPort ${hostPort}/${request.protocol} of its spec: ${what}`;
  return { reason, message: printable(message, 1024) };
}

/** What is to be said of static ports that a Service may get as its NodePort: they are served all the same. */
export function amongNodePorts(demands: readonly Demand[], { first, last }: PortRange): readonly string[] {
  const numbers = demands.map(({ units }) => units[0]?.exact ?? 0).filter((port) => port >= first && port <= last);
  return [...new Set(numbers)].map(
    (port) =>
      `hostPort ${port} of the pod's spec lies among the NodePorts of Services (${first}-${last}): it is served, and a Service that gets this NodePort is not reached at this node; choose a hostPort outside of the range`,
  );
}
