/**
 * The static `hostPort`s of a pod's spec as ports to be served: under which name, on which address, and what forbids it. Pure
 * and total; it never looks at a pool or an annotation.
 */
import { classifyAddress, parseAddress } from './address.ts';
import { DeclaredPorts, isSound, isStatic, numberName } from './declared.ts';
import type { PoolConfig } from './pool.ts';
import { labelOf } from './refusal.ts';
import { quoted } from './text.ts';
import type { ContainerPort, Pod, PortRequest } from './vocabulary.ts';

/**
 * Under which all static host ports are listed: every number, no quota and no rest, so that the rules of pools hold for them
 * without an exception. No configured pool may have its name.
 */
export const STATIC_POOL: PoolConfig = {
  name: 'static',
  ranges: [{ first: 1, last: 65_535 }],
  maxPortsPerPod: Number.POSITIVE_INFINITY,
  quarantineMs: 0,
};

export interface StaticPort {
  readonly request: PortRequest;
  readonly hostPort: number;
  /** Canonical; absent: any address. */
  readonly hostIP?: string;
  /** Continues `port "web": …`: why it cannot be served, ever, with the remedy. */
  readonly wrong?: string;
}

/** The same port of the spec as the scheduler sees it: the wildcards and a text that is no address are any address. */
export function staticHostIP({ hostIP = '' }: Pick<ContainerPort, 'hostIP'>): string | undefined {
  const parsed = parseAddress(hostIP);
  return parsed === undefined || classifyAddress(parsed) === 'unspecified' ? undefined : parsed.text;
}

/**
 * In the order of the spec. `taken`: names that the pod's requests have. A port is called as it is declared; an unnamed one, and
 * one whose name another has, `<number>-<proto>`, with `-2` and so on where that is another's. The spec of a pod does not
 * change its ports, so that the names stay.
 */
export function staticPorts(pod: Pod, taken: Iterable<string>): readonly StaticPort[] {
  if (pod.hostNetwork || !pod.ports.some(isStatic)) return [];
  const declared = new DeclaredPorts(pod.ports);
  const names = new Set(taken);
  for (const port of pod.ports) {
    if (port.name !== undefined) names.add(port.name);
    if (!isStatic(port)) names.add(declared.nameFor(port));
  }
  return pod.ports.filter(isStatic).map((port) => {
    const name = nameOf(port, declared, names);
    names.add(name);
    const { protocol, containerPort, hostPort = 0 } = port;
    const hostIP = staticHostIP(port);
    const wrong = faultOf(port);
    return {
      request: { name, protocol, target: { kind: 'port', port: containerPort }, group: name },
      hostPort,
      ...(hostIP === undefined ? {} : { hostIP }),
      ...(wrong === undefined ? {} : { wrong }),
    };
  });
}

function nameOf(port: ContainerPort, declared: DeclaredPorts, taken: ReadonlySet<string>): string {
  if (port.name !== undefined && declared.named(port.name).length === 1) return port.name;
  const name = numberName(port.containerPort, port.protocol);
  for (let count = 1; ; count++) {
    const tried = count === 1 ? name : `${name}-${count}`;
    if (!taken.has(tried)) return tried;
  }
}

function faultOf(port: ContainerPort): string | undefined {
  const { hostIP = '', hostPort = 0 } = port;
  if (!isSound(port) || !Number.isInteger(hostPort) || hostPort > 65_535) {
    return `port ${quoted(labelOf(port))} of container ${quoted(port.container)} is one that Kubernetes would refuse; give it numbers from 1 to 65535 and a name of at most 15 of a-z, 0-9 and -`;
  }
  if (hostIP === '') return undefined;
  const parsed = parseAddress(hostIP);
  if (parsed === undefined)
    return `hostIP ${quoted(hostIP)} is no IP address; write one of the node's own, or none for every address`;
  const scope = classifyAddress(parsed);
  // What a process of the node sends to 127.0.0.1 can be led to a pod; for ::1 the kernel has no other route than itself.
  if (scope === 'ordinary' || scope === 'unspecified' || (scope === 'loopback' && parsed.family === 4))
    return undefined;
  const remedy = scope === 'loopback' ? 'write 127.0.0.1' : "write one of the node's own, or none for every address";
  return `hostIP ${hostIP} is a ${scope} address, at which no host port can be served; ${remedy}`;
}
