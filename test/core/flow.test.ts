import test from 'ava';
import { disagrees, type Flow, type FlowTruth, type FormerTarget } from '../../daemon/core/flow.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { cidrs, mapping } from '../rules/mappings.ts';

const NODE = '192.0.2.10';

/** A flow to host port 20000 that was sent to port 8080 of the pod of `mapping()`. */
function flow(fields: Partial<Flow> = {}): Flow {
  const client = { protocol: 'TCP', source: '198.51.100.1', sourcePort: 5_000 } as const;
  return { ...client, destination: NODE, port: 20_000, replySource: '10.244.0.5', replyPort: 8080, ...fields };
}

const straight = { replySource: NODE, replyPort: 20_000 };

function truthOf(live: Mapping | undefined, fields: Partial<FlowTruth> = {}): FlowTruth {
  return {
    mapping: (protocol, _destination, port) => {
      if (live === undefined || live.protocol !== protocol) return undefined;
      return port >= live.hostPort && port < live.hostPort + live.size ? live : undefined;
    },
    stands: () => true,
    draining: () => [],
    former: [],
    isNodeAddress: (address) => address === NODE || address.startsWith('127.'),
    ...fields,
  };
}

const web = mapping();
const limited = mapping({ allowFrom: cidrs('203.0.113.0/24') });
const block = mapping({ hostPort: 20_000, containerPort: 20_000, size: 10 });
const refused = { stands: () => false };

const live: readonly (readonly [title: string, Flow, FlowTruth, boolean])[] = [
  ['to the pod that owns the mapping', flow(), truthOf(web), false],
  ['to another pod', flow({ replySource: '10.244.0.6' }), truthOf(web), true],
  ['to another port of the pod', flow({ replyPort: 8081 }), truthOf(web), true],
  ['that was not translated, though it would be now', flow(straight), truthOf(web), true],
  ['that was not translated, and whose rule was refused', flow(straight), truthOf(web, refused), false],
  ['to its pod while the rule was refused', flow(), truthOf(web, refused), false],
  ['to the number of a block that it meant', flow({ port: 20_003, replyPort: 20_003 }), truthOf(block), false],
  ['to another number of the block', flow({ port: 20_003, replyPort: 20_004 }), truthOf(block), true],
  ['from a source that is not allowed any more', flow(), truthOf(limited), true],
  ['from a source that is allowed', flow({ source: '203.0.113.9' }), truthOf(limited), false],
  ['from the node, which is always allowed', flow({ source: NODE }), truthOf(limited), false],
  ['not translated, from a source that is not allowed', flow(straight), truthOf(limited), false],
  [
    'not translated, from a source that is allowed',
    flow({ ...straight, source: '203.0.113.9' }),
    truthOf(limited),
    true,
  ],
];

for (const [title, one, truth, expected] of live) {
  test(`a flow ${title} ${expected ? 'disagrees' : 'agrees'} with a live mapping`, (t) => {
    t.is(disagrees(one, truth), expected);
  });
}

const next = mapping({ podIPs: ['10.244.0.9'] });
const drains = (one: Mapping) => ({ draining: () => [one] });
const handedOver: readonly (readonly [title: string, Flow, FlowTruth, boolean])[] = [
  ['to the pod that had the number before', flow(), truthOf(next, drains(web)), false],
  ['of it to another port', flow({ replyPort: 1 }), truthOf(next, drains(web)), true],
  ['to a third pod', flow({ replySource: '10.244.0.6' }), truthOf(next, drains(web)), true],
  ['to the pod that has it now', flow({ replySource: '10.244.0.9' }), truthOf(next, drains(web)), false],
  ['that was not translated', flow(straight), truthOf(next, drains(web)), true],
  ['from a source that the pod before does not allow', flow(), truthOf(next, drains(limited)), true],
  [
    'to the pod before, while nobody has the number',
    flow(),
    truthOf(undefined, { ...drains(web), former: [former()] }),
    false,
  ],
];

for (const [title, one, truth, expected] of handedOver) {
  test(`after a hand-over a flow ${title} ${expected ? 'disagrees' : 'agrees'}`, (t) =>
    t.is(disagrees(one, truth), expected));
}

test('I4: a flow to another host at that port is none of Berth’s business, wherever it was sent', (t) => {
  for (const truth of [truthOf(web), truthOf(undefined, { former: [former()] })]) {
    t.false(disagrees(flow({ destination: '203.0.113.1' }), truth));
  }
});

function former(fields: Partial<FormerTarget> = {}): FormerTarget {
  const port = { protocol: 'TCP', hostPort: 20_000, size: 1, containerPort: 8080 } as const;
  return { ...port, podIPs: ['10.244.0.5'], ...fields };
}

const unknown = { protocol: 'TCP', hostPort: 20_000, size: 1, containerPort: 8080 } as const;
const ended: readonly (readonly [title: string, Flow, FormerTarget, boolean])[] = [
  ['to the pod that had it', flow(), former(), true],
  ['to another pod', flow({ replySource: '10.244.0.6' }), former(), false],
  ['to another pod, when nobody knows any more which pod it was', flow({ replySource: '10.9.9.9' }), unknown, true],
  ['to another port', flow({ replyPort: 1 }), former(), false],
  ['of another protocol', flow({ protocol: 'UDP' }), former(), false],
  ['that was not translated', flow(straight), former({ containerPort: 20_000, podIPs: [NODE] }), false],
  ['through the address that was meant', flow(), former({ hostIP: NODE }), true],
  ['through another address', flow(), former({ hostIP: '192.0.2.11' }), false],
  ['through a number of its block', flow({ port: 20_001, replyPort: 8081 }), former({ size: 2 }), true],
  ['through the number behind its block', flow({ port: 20_002, replyPort: 8082 }), former({ size: 2 }), false],
  ['through the number before its block', flow({ port: 19_999, replyPort: 8079 }), former({ size: 2 }), false],
];

for (const [title, one, target, expected] of ended) {
  test(`a flow ${title} is ${expected ? '' : 'not '}one of a mapping that has ended`, (t) => {
    t.is(disagrees(one, truthOf(undefined, { former: [target] })), expected);
  });
}
