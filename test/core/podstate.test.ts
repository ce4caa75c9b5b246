import test from 'ava';
import { carriesResults, isActive, isNewer, optsIn, podAddresses } from '../../daemon/core/podstate.ts';
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { podOf } from './pods.ts';

const lives: readonly (readonly [title: string, Partial<Pod>, boolean])[] = [
  ['runs', {}, true],
  ['is pending', { phase: 'Pending' }, true],
  ['cannot be asked', { phase: 'Unknown' }, true],
  ['is being deleted and drains', { terminating: true }, true],
  ['is being deleted and has ended', { terminating: true, ended: true }, false],
  ['restarts, all its containers having ended', { ended: true }, true],
  ['has succeeded', { phase: 'Succeeded' }, false],
  ['has failed', { phase: 'Failed' }, false],
];

for (const [title, fields, expected] of lives) {
  test(`a pod that ${title} ${expected ? 'may' : 'may not'} have mappings`, (t) => {
    t.is(isActive(podOf({}, [], fields)), expected);
  });
}

const isNode = (address: string) => address === '192.0.2.10';
const sane: readonly (readonly [title: string, readonly string[], readonly string[]])[] = [
  ['one of each family', ['10.0.0.1', 'fd00::1'], ['10.0.0.1', 'fd00::1']],
  ['the first of each family', ['fd00::1', 'fd00::2', '10.0.0.1', '10.0.0.2'], ['fd00::1', '10.0.0.1']],
  ['made canonical', ['FD00:0::01'], ['fd00::1']],
];

for (const [title, podIPs, addresses] of sane) {
  test(`addresses of a pod: ${title}`, (t) => {
    t.deepEqual(podAddresses(podOf({}, [], { podIPs }), isNode), { kind: 'sane', addresses });
  });
}

test('a pod without an address has none', (t) => {
  t.deepEqual(podAddresses(podOf({}, [], { podIPs: [] }), isNode), { kind: 'none' });
});

const refused: readonly (readonly [address: string, why: string])[] = [
  ['10.0.0.01', 'it is not an IP address'],
  ['', 'it is not an IP address'],
  ['127.0.0.1', 'it is a loopback address'],
  ['::1', 'it is a loopback address'],
  ['169.254.169.254', 'it is a metadata address'],
  ['fe80::1', 'it is a link-local address'],
  ['::ffff:10.0.0.1', 'it is a v4-mapped address'],
  ['0.0.0.0', 'it is a unspecified address'],
  ['255.255.255.255', 'it is a broadcast address'],
  ['ff02::1', 'it is a multicast address'],
  ['192.0.2.10', "it is the node's own address"],
];

for (const [address, why] of refused) {
  test(`one address "${address}" refuses them all: ${why}`, (t) => {
    const pod = podOf({}, [], { podIPs: ['10.0.0.1', address] });
    t.deepEqual(podAddresses(pod, isNode), { kind: 'refused', address, why });
  });
}

test('of two pods the one that was created later is the newer; of one moment the greater uid', (t) => {
  const pod = (uid: string, createdAt: number) => podOf({}, [], { uid, createdAt });
  t.true(isNewer(pod('a', 2), pod('b', 1)));
  t.false(isNewer(pod('a', 1), pod('b', 2)));
  t.true(isNewer(pod('b', 1), pod('a', 1)));
  t.false(isNewer(pod('a', 1), pod('b', 1)));
});

for (const [title, annotations, opts, carries] of [
  ['nothing', {}, false, false],
  ['an empty list of ports', { 'berth.dev/ports': '' }, true, false],
  ['Galaxy’s key', { 'tkestack.io/portmapping': '' }, true, false],
  ['another annotation of Berth alone', { 'berth.dev/pool': 'games' }, false, false],
  ['mappings', { 'berth.dev/mappings': '[]' }, false, true],
  ['a promise', { 'port.berth.dev/web': '1' }, false, true],
] as const) {
  test(`with ${title} a pod ${opts ? 'opts in' : 'does not opt in'} and ${carries ? 'carries results' : 'carries none'}`, (t) => {
    t.deepEqual([optsIn(podOf(annotations)), carriesResults(podOf(annotations))], [opts, carries]);
  });
}

test('the condition alone is a result too', (t) => {
  t.true(carriesResults(podOf({}, [], { conditioned: true })));
  t.false(carriesResults(podOf({}, [], { conditioned: false })));
});
