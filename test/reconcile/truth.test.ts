import test from 'ava';
import type { Mapping, Protocol } from '../../daemon/core/vocabulary.ts';
import type { FlowPorts } from '../../daemon/reconcile/ports.ts';
import { flowTruth } from '../../daemon/reconcile/truth.ts';
import { mappingFor } from './demands.ts';

const any = mappingFor(1, { hostPort: 20_000 });
const bound = mappingFor(2, { hostPort: 20_000, hostIP: '192.0.2.11' });
const block = mappingFor(3, { hostPort: 20_100, size: 10, containerPort: 20_100, protocol: 'UDP' });
const dual = mappingFor(4, { hostPort: 20_200, podIPs: ['10.0.0.4', 'fd00::4'] });
const ALL = [any, bound, block, dual];
const isNode = () => true;

const lookups: readonly (readonly [title: string, [Protocol, string, number], Mapping | undefined])[] = [
  ['a port on any address', ['TCP', '192.0.2.10', 20_000], any],
  ['a port on the address that alone is meant, before any', ['TCP', '192.0.2.11', 20_000], bound],
  ['another protocol', ['UDP', '192.0.2.10', 20_000], undefined],
  ['the first of a block', ['UDP', '192.0.2.10', 20_100], block],
  ['the last of a block', ['UDP', '192.0.2.10', 20_109], block],
  ['the one behind a block', ['UDP', '192.0.2.10', 20_110], undefined],
  ['a family that the pod has not', ['TCP', '2001:db8::10', 20_000], undefined],
  ['the second family of a pod', ['TCP', '2001:db8::10', 20_200], dual],
];

for (const [title, [protocol, destination, port], expected] of lookups) {
  test(`${title}: ${expected === undefined ? 'no mapping' : `the mapping of ${expected.pod.name}`}`, (t) => {
    t.is(flowTruth(ALL, 'all', [], isNode).mapping(protocol, destination, port), expected);
  });
}

const asked: readonly (readonly [title: string, FlowPorts, boolean])[] = [
  ['inside', { protocol: 'UDP', port: 20_105, size: 1 }, true],
  ['around', { protocol: 'UDP', port: 20_000, size: 200 }, true],
  ['at its beginning', { protocol: 'UDP', port: 20_091, size: 10 }, true],
  ['just before', { protocol: 'UDP', port: 20_090, size: 10 }, false],
  ['just behind', { protocol: 'UDP', port: 20_110, size: 10 }, false],
  ['of another protocol', { protocol: 'TCP', port: 20_100, size: 10 }, false],
];

for (const [title, port, expected] of asked) {
  test(`a block is ${expected ? '' : 'not '}looked at for ports ${title}`, (t) => {
    const truth = flowTruth(ALL, [port], [], isNode);
    t.is(truth.mapping('UDP', '192.0.2.10', 20_100), expected ? block : undefined);
  });
}

test('a mapping stands unless the caller knows better', (t) => {
  t.true(flowTruth(ALL, 'all', [], isNode).stands(any));
  t.false(flowTruth(ALL, 'all', [], isNode, (mapping) => mapping !== any).stands(any));
});
