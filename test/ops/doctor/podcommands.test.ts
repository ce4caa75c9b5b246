import test from 'ava';
import type { Pod } from '../../../daemon/core/vocabulary.ts';
import type { PodFacts, PodPlace } from '../../../daemon/ops/doctor/facts.ts';
import { examinePod } from '../../../daemon/ops/doctor/walk.ts';
import { NODE, PORT, podFacts } from './patients.ts';

const MANIFEST = 'cat /etc/berth/pods/arena-0.yaml';
const STATUS = 'cat /etc/berth/pods/.status/games_arena-0.json';
const DIRECTORY: PodPlace = {
  kind: 'directory',
  directory: '/etc/berth/pods',
  manifest: '/etc/berth/pods/arena-0.yaml',
  status: '/etc/berth/pods/.status/games_arena-0.json',
};
const KUBECTL = 'kubectl get pod --namespace games arena-0';
const noNumber: Partial<PodFacts> = { ports: [{ ...PORT, number: undefined, holder: undefined }] };

const CASES: readonly (readonly [
  what: string,
  change: Partial<Pod>,
  more: Partial<PodFacts>,
  code: string,
  cluster: string,
  directory: string,
])[] = [
  [
    'a pod without the annotation',
    { annotations: {} },
    { ports: [] },
    'BD101',
    'kubectl annotate pod --namespace games arena-0 --overwrite berth.dev/ports=',
    MANIFEST,
  ],
  [
    'a wrong annotation',
    { annotations: { 'berth.dev/ports': 'nope' } },
    { ports: [] },
    'BD102',
    `${KUBECTL} --output 'jsonpath={.metadata.annotations}'`,
    MANIFEST,
  ],
  [
    'an unknown pool',
    { annotations: { 'berth.dev/ports': '', 'berth.dev/pool': 'x' } },
    {},
    'BD103',
    'kubectl annotate pod --namespace games arena-0 --overwrite berth.dev/pool=NAME',
    MANIFEST,
  ],
  ['a pod that has ended', { phase: 'Failed' }, {}, 'BD105', `${KUBECTL} --output wide`, MANIFEST],
  ['a pod without an address', { podIPs: [] }, { ways: [] }, 'BD106', `${KUBECTL} --output wide`, MANIFEST],
  ['a port without a number', {}, noNumber, 'BD201', 'kubectl describe pod --namespace games arena-0', STATUS],
];

for (const [what, change, more, code, cluster, directory] of CASES) {
  test(`${code}, ${what}: kubectl shows it in a cluster, a file where pods come from a directory`, (t) => {
    const shown = (place: PodPlace) => {
      const findings = examinePod(podFacts(change, { ...more, place }), NODE);
      if (place.kind === 'directory')
        t.deepEqual(
          findings.filter((one) => one.command.includes('kubectl')),
          [],
        );
      return findings.find((one) => one.code === code)?.command;
    };
    t.is(shown({ kind: 'cluster' }), cluster);
    t.is(shown(DIRECTORY), directory);
  });
}

test('no command names a file that is not there', (t) => {
  const shown = (place: PodPlace) =>
    examinePod(podFacts({}, { ...noNumber, place }), NODE).find(({ code }) => code === 'BD201')?.command;
  const { manifest, directory } = DIRECTORY as PodPlace & { kind: 'directory'; manifest: string };
  t.is(shown({ kind: 'directory', directory, manifest }), MANIFEST);
  t.is(shown({ kind: 'directory', directory: '/srv/my pods' }), "ls -l '/srv/my pods'");
});
