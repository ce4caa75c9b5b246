import test from 'ava';
import { addressesIn, namesOf } from '../../daemon/rpc/hostfiles.ts';

/** As kubelet writes it for a pod. */
const POD = `search berth-system.svc.cluster.local svc.cluster.local cluster.local
nameserver 10.96.0.10
options ndots:5
`;

const CASES: readonly (readonly [what: string, host: string, resolvConf: string, names: readonly string[]])[] = [
  ['without a search list the name itself is asked for', 'a.example', 'nameserver 192.0.2.1\n', ['a.example']],
  [
    'a Service is found by the search list of a pod',
    'replicas.berth-system.svc',
    POD,
    [
      'replicas.berth-system.svc.berth-system.svc.cluster.local',
      'replicas.berth-system.svc.svc.cluster.local',
      'replicas.berth-system.svc.cluster.local',
      'replicas.berth-system.svc',
    ],
  ],
  ['a name with a dot at its end is whole', 'a.example.', POD, ['a.example.']],
  ['a name with enough dots is first asked for as it is', 'a.b', 'search x.example\n', ['a.b', 'a.b.x.example']],
  ['one without dots is not', 'a', 'search x.example\n', ['a.x.example', 'a']],
  ['the last list counts, and a domain is one', 'a', 'search x y\ndomain z.\n', ['a.z', 'a']],
  ['a dot in the list is the root', 'a', 'search . x\n', ['a', 'a.x']],
  ['what is no number of dots is passed over', 'a.b', 'search x\noptions ndots:x rotate ndots:99\n', ['a.b.x', 'a.b']],
  ['nothing at all', 'a.b', '', ['a.b']],
];
for (const [what, host, resolvConf, names] of CASES) {
  test(`the names that are asked for: ${what}`, (t) => {
    t.deepEqual(namesOf(host, resolvConf), names);
  });
}

const HOSTS = `# written by kubelet
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost   # both
192.0.2.7 Replicas.Example other#name
 192.0.2.8  other
#192.0.2.9 other
`;

test('the addresses in hosts(5) are those of the lines that have the name', (t) => {
  t.deepEqual(addressesIn(HOSTS, 'localhost'), ['127.0.0.1', '::1']);
  t.deepEqual(addressesIn(HOSTS, 'replicas.example.'), ['192.0.2.7']);
  t.deepEqual(addressesIn(HOSTS, 'other'), ['192.0.2.7', '192.0.2.8']);
  t.deepEqual(addressesIn(HOSTS, 'name'), []);
  t.deepEqual(addressesIn('', 'localhost'), []);
});
