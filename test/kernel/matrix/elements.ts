/** The elements of mappings as the agent makes them, for a test that changes them by itself, faster than any pod could. */
import type { Element } from '../../../rules/element.ts';
import { elementsOf } from '../../../rules/elements.ts';
import { BOTH } from './agent.ts';
import { type Addresses, FAMILIES, type Place } from './topology.ts';

/** The number leads to port 8080 of the place, TCP and UDP, for everybody or for one client. */
export function elementsAt({ name, address }: Place, hostPort: number, client?: Addresses): readonly Element[] {
  const limits =
    client === undefined
      ? {}
      : { allowFrom: FAMILIES.map((family) => ({ family, text: `${client[family]}/${family === 4 ? 32 : 128}` })) };
  return BOTH.flatMap(({ name: port, protocol, containerPort }) =>
    elementsOf({
      pod: { namespace: 'default', name, uid: name },
      name: port,
      protocol,
      pool: 'default',
      hostPort,
      size: 1,
      containerPort,
      podIPs: [address[4], address[6]],
      ...limits,
    }),
  );
}
