/** States of an agent for tests: any that the format allows, and one of a given size. */
import fc from 'fast-check';
import type { AgentState, Grant, Resting } from '../../daemon/core/state.ts';

const word = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/);
const placed = fc
  .record({ hostPort: fc.integer({ min: 1, max: 65_535 }), size: fc.integer({ min: 1, max: 256 }) })
  .filter(({ hostPort, size }) => hostPort + size - 1 <= 65_535);
const named = fc.record({
  namespace: word,
  pod: word,
  name: word,
  pool: word,
  protocol: fc.constantFrom('TCP', 'UDP', 'SCTP'),
});

export const grants: fc.Arbitrary<Grant> = fc
  .tuple(
    named,
    placed,
    fc.record(
      {
        uid: fc.uuid(),
        containerPort: fc.integer({ min: 1, max: 65_535 }),
        claim: word,
        hostIP: fc.oneof(fc.ipV4(), fc.constant('2001:db8::7')),
      },
      { requiredKeys: ['uid', 'containerPort'] },
    ),
  )
  .map(([a, b, c]) => ({ ...a, ...b, ...c }));

export const resting: fc.Arbitrary<Resting> = fc
  .tuple(named, placed, fc.record({ releasedAt: fc.integer({ min: 0, max: 4_000_000_000_000 }) }))
  .map(([a, b, c]) => ({ ...a, ...b, ...c }));

export const states: fc.Arbitrary<AgentState> = fc.record({
  grants: fc.array(grants, { maxLength: 5 }),
  resting: fc.array(resting, { maxLength: 5 }),
  settings: fc.array(
    fc.record({
      setting: fc.constantFrom('net.ipv4.ip_local_reserved_ports', 'net/ipv4/conf/eth0.100/route_localnet'),
      before: fc.constantFrom('', '0', '8080,9148-9150'),
    }),
    { maxLength: 2 },
  ),
});

/** So many grants of one port each; `mark` makes states of equal size tell apart. */
export function stateOf(count: number, mark = 0): AgentState {
  const grants = Array.from({ length: count }, (_, index) => ({
    uid: `6f1b2c3d-0000-4000-8000-${String(index).padStart(12, '0')}`,
    namespace: 'games',
    pod: `server-${index}`,
    name: 'game',
    protocol: 'UDP' as const,
    pool: 'default',
    hostPort: 20_000 + index,
    size: 1,
    containerPort: 7777,
  }));
  const rest = { namespace: 'games', pod: 'former', name: 'game', protocol: 'UDP', pool: 'default' } as const;
  return { grants, resting: [{ ...rest, hostPort: 19_999, size: 1, releasedAt: mark }], settings: [] };
}

/** The mark of a state that `stateOf` made. */
export function markOf(state: AgentState | undefined): number {
  return state?.resting[0]?.releasedAt ?? -1;
}
