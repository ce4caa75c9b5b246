/** The mappings as the tracked flows are held against them. Pure. */
import type { FlowTruth, FormerTarget } from '../core/flow.ts';
import type { Mapping, Protocol } from '../core/vocabulary.ts';
import type { FlowPorts } from './ports.ts';

/** Only mappings that overlap `ports` are looked at: for one changed port that is one mapping, not ten thousand. */
export function flowTruth(
  mappings: readonly Mapping[],
  ports: readonly FlowPorts[] | 'all',
  former: readonly FormerTarget[],
  isNodeAddress: (address: string) => boolean,
  stands: (mapping: Mapping) => boolean = () => true,
  draining: readonly Mapping[] = [],
): FlowTruth {
  const index = indexOf(mappings, ports);
  const leaving = indexOf(draining, ports);
  return {
    former,
    draining: (protocol, destination, port) =>
      leaving.get(`${protocol}/${port}`)?.filter(({ hostIP }) => hostIP === undefined || hostIP === destination) ?? [],
    stands,
    isNodeAddress,
    mapping: (protocol: Protocol, destination: string, port: number) => {
      const found = index.get(`${protocol}/${port}`);
      const mapping =
        found?.find(({ hostIP }) => hostIP === destination) ?? found?.find(({ hostIP }) => hostIP === undefined);
      const six = destination.includes(':');
      return mapping?.podIPs.some((ip) => ip.includes(':') === six) ? mapping : undefined;
    },
  };
}

function indexOf(mappings: readonly Mapping[], ports: readonly FlowPorts[] | 'all'): ReadonlyMap<string, Mapping[]> {
  const index = new Map<string, Mapping[]>();
  for (const mapping of mappings) {
    if (ports !== 'all' && !ports.some((port) => overlaps(mapping, port))) continue;
    for (let number = mapping.hostPort; number < mapping.hostPort + mapping.size; number++) {
      const key = `${mapping.protocol}/${number}`;
      const known = index.get(key);
      if (known === undefined) index.set(key, [mapping]);
      else known.push(mapping);
    }
  }
  return index;
}

function overlaps(mapping: Mapping, port: FlowPorts): boolean {
  return (
    mapping.protocol === port.protocol &&
    mapping.hostPort < port.port + port.size &&
    port.port < mapping.hostPort + mapping.size
  );
}
