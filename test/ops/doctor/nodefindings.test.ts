import test from 'ava';
import { seen, unseen } from '../../../daemon/core/diagnosis.ts';
import type { NodeFacts } from '../../../daemon/ops/doctor/facts.ts';
import { examineNode } from '../../../daemon/ops/doctor/walk.ts';
import { NODE, troubles } from './patients.ts';

const NODES: readonly (readonly [
  title: string,
  change: Partial<NodeFacts>,
  expected: readonly string[],
  says: RegExp,
])[] = [
  ['no table', { table: seen(undefined) }, ['skipped BD302', 'fail BD303'], /no table inet berth/],
  ['another skeleton', { table: seen('chain pre has other rules') }, ['fail BD303'], /chain pre has other rules/],
  ['no nftables', { table: unseen('EPERM') }, ['unknown BD302', 'unknown BD303'], /EPERM/],
  [
    'an address not served',
    {
      nodeSets: seen({
        wanted: [{ set: 'nodeaddr6', key: '2001:db8::7', value: '' }],
        missing: [{ set: 'nodeaddr6', key: '2001:db8::7', value: '' }],
        instead: [],
      }),
    },
    ['fail BD302'],
    /not served at 2001:db8::7/,
  ],
  [
    'no address at all',
    { nodeSets: seen({ wanted: [], missing: [], instead: [] }) },
    ['fail BD302'],
    /no address at which it could serve/,
  ],
  ['no agent', { answer: { kind: 'silent', why: 'nobody listens' } }, ['fail BD401'], /nobody listens/],
  ['no permission', { answer: { kind: 'unseen', why: 'may not open' } }, ['unknown BD401'], /may not open/],
  ['a lock of nobody', { lock: seen({ exists: true }) }, ['warn BD402', 'skipped BD404'], /another one/],
  ['no state file yet', { state: seen({ state: undefined }) }, [], /^$/],
  [
    'a torn state file',
    { state: seen({ state: undefined, problem: 'it is not JSON' }) },
    ['fail BD403'],
    /it is not JSON/,
  ],
  ['numbers that are not held', { sockets: seen(0) }, ['warn BD404'], /0 sockets open; numbers to hold: 1/],
  ['sockets that cannot be seen', { sockets: unseen('EACCES') }, ['unknown BD404'], /EACCES/],
  [
    'ephemeral numbers',
    { unprotected: seen([{ first: 32_768, last: 33_000 }]) },
    ['warn BD608'],
    /32768-33000 of the pools/,
  ],
];

for (const [title, change, expected, says] of NODES) {
  test(`the node: ${title}`, (t) => {
    const findings = examineNode({ ...NODE, ...change });
    t.deepEqual(troubles(findings), expected);
    t.regex(findings.find(({ status }) => status !== 'ok')?.says ?? '', says);
  });
}
