import test from 'ava';
import {
  formatRanges,
  type PoolConfig,
  poolHolds,
  poolOnNode,
  poolSize,
  requestedPorts,
  requestSize,
} from '../../daemon/core/pool.ts';
import type { Target } from '../../daemon/core/vocabulary.ts';
import { poolOf } from './grants.ts';
import { okOf } from './pods.ts';

const TWO = poolOf({
  ranges: [
    { first: 100, last: 109 },
    { first: 110, last: 110 },
  ],
});

test('the size of a pool counts the numbers of all its ranges, both ends included', (t) => {
  t.is(poolSize(TWO), 11);
  t.is(poolSize(poolOf({ ranges: [] })), 0);
});

for (const [first, size, expected] of [
  [100, 1, true],
  [100, 10, true],
  [99, 1, false],
  [101, 10, false],
  [110, 1, true],
  [109, 2, false],
  [111, 1, false],
] as const) {
  test(`the numbers ${first}-${first + size - 1} ${expected ? 'lie' : 'do not lie'} in one range of the pool`, (t) => {
    t.is(poolHolds(TWO, first, size), expected);
  });
}

const sizes: readonly (readonly [Target, number])[] = [
  [{ kind: 'port', port: 8080 }, 1],
  [{ kind: 'same' }, 1],
  [{ kind: 'block', size: 100 }, 100],
  [{ kind: 'numbers', first: 5, last: 5 }, 1],
  [{ kind: 'numbers', first: 5, last: 9 }, 5],
];

for (const [target, size] of sizes) {
  test(`a request for ${JSON.stringify(target)} takes ${size}`, (t) => {
    t.is(requestSize({ name: 'x', protocol: 'TCP', target, group: 'x' }), size);
  });
}

test('a pod asks for as many host ports as there are numbers, each protocol counted', (t) => {
  t.is(requestedPorts(okOf({ 'berth.dev/ports': '9000/tcp+udp, m=10/udp' })), 12);
});

test('ranges are written as people write them', (t) => {
  t.is(formatRanges(TWO.ranges), '100-109,110');
  t.is(formatRanges([]), '');
});

const nodes: readonly (readonly [string, PoolConfig['nodeSelector'], Readonly<Record<string, string>>, boolean])[] = [
  ['without a selector', undefined, {}, true],
  ['with an empty selector', {}, {}, true],
  ['whose every label the node has', { zone: 'a', disk: 'ssd' }, { zone: 'a', disk: 'ssd', more: '' }, true],
  ['of which a label has another value', { zone: 'a' }, { zone: 'b' }, false],
  ['of which a label is missing', { zone: 'a', disk: 'ssd' }, { zone: 'a' }, false],
  ['that asks for an empty value which is not there', { zone: '' }, {}, false],
  ['that asks for a name of the prototype', { constructor: '' }, {}, false],
];

for (const [title, nodeSelector, labels, expected] of nodes) {
  test(`a pool ${title} ${expected ? 'exists' : 'does not exist'} on the node`, (t) => {
    t.is(poolOnNode(poolOf(nodeSelector === undefined ? {} : { nodeSelector }), labels), expected);
  });
}
