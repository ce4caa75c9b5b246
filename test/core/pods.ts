/** Pods for the tests of the annotation grammar: valid, running, with nothing but what the test says. */
import { parsePodRequest } from '../../daemon/core/request.ts';
import type { ContainerPort, Pod, PodRequest } from '../../daemon/core/vocabulary.ts';

export type PortSpec = Partial<ContainerPort> & { readonly containerPort: number };

/** A TCP port of the container `app`, unless the test says otherwise. */
export function portOf(spec: PortSpec): ContainerPort {
  return { container: 'app', sidecar: false, protocol: 'TCP', ...spec };
}

export function podOf(
  annotations: Readonly<Record<string, string>>,
  ports: readonly PortSpec[] = [],
  more: Partial<Pod> = {},
): Pod {
  return {
    namespace: 'games',
    name: 'server-0',
    uid: '7d2f6f5e-5c0a-4f0e-9f0d-1b2c3d4e5f60',
    annotations,
    hostNetwork: false,
    phase: 'Running',
    terminating: false,
    ended: false,
    podIPs: ['10.0.0.7'],
    ports: ports.map(portOf),
    createdAt: 0,
    ...more,
  };
}

/** One of each kind. */
export const DECLARED: readonly PortSpec[] = [
  { name: 'web', containerPort: 80 },
  { name: 'dns', containerPort: 53 },
  { name: 'dns-udp', containerPort: 53, protocol: 'UDP' },
  { containerPort: 9100 },
  { name: 'sig', containerPort: 53, protocol: 'SCTP' },
  { name: 'fixed', containerPort: 443, hostPort: 8443 },
  { name: 'proxy', containerPort: 15001, container: 'envoy', sidecar: true },
];

/** One name in two containers, for two different ports. */
export function twice(name: string, more: readonly PortSpec[] = []): readonly PortSpec[] {
  return [...more, { name, containerPort: 9090, container: 'a' }, { name, containerPort: 9091, container: 'b' }];
}

/** The request of a pod with these annotations; throws when it is no request. */
export function okOf(annotations: Readonly<Record<string, string>>, ports: readonly PortSpec[] = []): PodRequest {
  const result = parsePodRequest(podOf(annotations, ports));
  if (result.kind !== 'ok') throw new Error(JSON.stringify(result));
  return result.request;
}

/** The message of the problem; throws when there is none. */
export function messageOf(annotations: Readonly<Record<string, string>>, ports: readonly PortSpec[] = []): string {
  const result = parsePodRequest(podOf(annotations, ports));
  if (result.kind !== 'problem') throw new Error(JSON.stringify(result));
  return result.problem.message;
}
