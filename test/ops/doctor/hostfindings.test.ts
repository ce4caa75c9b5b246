import test from 'ava';
import { type ForwardVerdict, type HostFacts, seen, unseen } from '../../../daemon/core/diagnosis.ts';
import { hostFindings, hostWarnings, nodePassages } from '../../../daemon/ops/doctor/hostfindings.ts';
import { CHAIN, HOST, NAT, troubles, UPLINK } from './patients.ts';

const PASSAGE = {
  family: 4,
  input: 'eth0',
  output: 'cni0',
  destination: '10.244.1.7',
  protocol: 'TCP',
  port: 80,
} as const;
const forward = (verdict: ForwardVerdict) => seen([{ chain: CHAIN, passage: PASSAGE, verdict }]);

/** The status with a pod, and without. */
const HOSTS: readonly (readonly [
  title: string,
  change: Partial<HostFacts>,
  pod: readonly string[],
  node: readonly string[],
  says: RegExp,
])[] = [
  [
    'no forwarding',
    { forwarding: { 4: seen(false), 6: seen(true) } },
    ['fail BD601'],
    ['fail BD601'],
    /ip_forward is off/,
  ],
  ['no forwarding of IPv6, for an IPv4 pod', { forwarding: { 4: seen(true), 6: seen(false) } }, [], [], /^$/],
  [
    'no forwarding on the uplink',
    { uplinks: seen([{ ...UPLINK, strict: false, forwards: false }]) },
    ['fail BD601'],
    ['fail BD601'],
    /forwarding is off on "eth1"/,
  ],
  [
    'no forwarding on one of two uplinks',
    {
      uplinks: seen([
        { ...UPLINK, strict: false, forwards: false },
        { ...UPLINK, device: 'eth0' },
      ]),
    },
    ['warn BD601'],
    ['warn BD601'],
    /forwarding is off on "eth1"/,
  ],
  [
    'a drop',
    { forward: forward('drops') },
    ['fail BD602'],
    ['fail BD602'],
    /chain "FORWARD" of table ip "filter" drops/,
  ],
  ['a doubt', { forward: forward('undecided') }, ['unknown BD602'], ['warn BD602'], /cannot be told/],
  [
    'a drop of what is not forwarded',
    { forward: forward('drops'), forwarding: { 4: seen(false), 6: seen(true) } },
    ['fail BD601'],
    ['fail BD601'],
    /off/,
  ],
  ['earlier NAT', { earlierNat: seen([NAT]) }, ['warn BD603'], ['warn BD603'], /\(priority -150\) comes first/],
  ['strict, and answers elsewhere', { uplinks: seen([UPLINK]) }, ['warn BD604'], ['warn BD604'], /strict on "eth1"/],
  [
    'strict, and packets were dropped',
    { uplinks: seen([UPLINK]), reversePathDrops: seen(7) },
    ['fail BD604'],
    ['warn BD604'],
    /\(7 packets since boot\)/,
  ],
  [
    'strict, and no way back at all',
    { uplinks: seen([{ device: 'eth1', address: '192.0.2.7', strict: true, forwards: true }]) },
    [],
    [],
    /^$/,
  ],
  ['Cilium', { ebpfDevices: seen(['cilium_host']) }, ['warn BD605'], ['warn BD605'], /"cilium_host"/],
  ['IPVS, kept apart', { serviceAddresses: seen([]) }, [], [], /^$/],
  [
    'IPVS, served',
    { serviceAddresses: seen(['192.0.2.7']) },
    ['warn BD606'],
    ['warn BD606'],
    /192\.0\.2\.7 of kube-ipvs0/,
  ],
  [
    'bridges not filtered',
    { bridgeFilter: seen(false) },
    ['warn BD607'],
    ['warn BD607'],
    /bridge-nf-call-iptables is off/,
  ],
  [
    'nothing can be seen',
    {
      forwarding: { 4: unseen('no'), 6: unseen('no') },
      uplinks: unseen('no'),
      reversePathDrops: unseen('no'),
      earlierNat: unseen('no'),
      forward: unseen('no'),
      ebpfDevices: unseen('no'),
      serviceAddresses: unseen('no'),
      bridgeFilter: unseen('no'),
    },
    [1, 2, 3, 4, 5, 6, 7].map((number) => `unknown BD60${number}`),
    [1, 2, 3, 4, 5, 6, 7].map((number) => `unknown BD60${number}`),
    /cannot be/,
  ],
];

for (const [title, change, pod, node, says] of HOSTS) {
  test(`the host: ${title}`, (t) => {
    const facts = { ...HOST, ...change };
    const ofPod = hostFindings(facts, { families: new Set([4]) });
    t.deepEqual(troubles(ofPod), pod);
    t.regex(ofPod.find(({ status }) => status !== 'ok')?.says ?? '', says);
    t.deepEqual(troubles(hostFindings(facts)), node);
    // The agent warns of exactly what is wrong, one line each.
    t.is(hostWarnings(facts).length, node.filter((text) => /^(warn|fail)/.test(text)).length);
  });
}

test('for a pod with IPv6 the forwarding of IPv6 counts', (t) => {
  const facts = { ...HOST, forwarding: { 4: seen(true), 6: seen(false) } };
  t.deepEqual(troubles(hostFindings(facts, { families: new Set([4, 6]) })), ['fail BD601']);
  t.deepEqual(nodePassages([{ family: 6, address: '2001:db8::7', device: 'eth0' }]), [{ family: 6 }]);
});
