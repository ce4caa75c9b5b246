/** Runs of controller and agents together: none breaks a rule, and everything that can go wrong did in one of them. */
import test from 'ava';
import { simulateTogether } from './simulation.ts';

const SEEDS = Number(process.env.SEEDS ?? 100);
const FIRST = Number(process.env.FIRST ?? 1);

const MUST_BE_REACHED = [
  'a claim is made',
  'a claim is deleted',
  'a claim waits for its pods',
  'a host port is deleted',
  'a host port is deleted as soon as it is there',
  'a class is deleted',
  'the pool changes',
  'the hand-over of a class changes',
  'a pod names a claim that is not there',
  'two pods of one claim on one node',
  'a pod is ready or not',
  'a pod ends',
  'a pod is deleted',
  'a pod is deleted at once',
  'a pod comes again on another node',
  'a pod of a StatefulSet has a claim of its own',
  'a number is handed over',
  'a number is left to an ended pod where another claim has it',
  'a lost node has a pod that is given up',
  'a node is cut off',
  'API server away',
  'a watch is half-open',
  'the watch of an agent is late',
  'a watch is behind for seconds',
  'a list is behind',
  'revisions are forgotten',
  'revision expired',
  'a replica is killed',
  'a replica dies before a write',
  'killed at rest',
  'reboot',
  'ruleset flushed',
  'SIGTERM between passes',
  'nft unavailable',
  'an answer is 409',
  'an answer is 429',
  'an answer is 500',
  'replyLost',
  '409 on a patch',
  '429 on a patch',
  '5xx on a patch',
  'patch applied, its reply lost',
] as const;

test('no number is twice or lost, no claim\u2019s number changes, and everything converges', async (t) => {
  t.timeout(10 * 60_000);
  const reached = new Set<string>();
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const result = await simulateTogether(seed);
    if (result.violation !== undefined) t.fail(`seed ${seed}: ${result.violation.rule}: ${result.violation.detail}`);
    for (const what of result.reached.keys()) reached.add(what);
  }
  if (SEEDS >= 100)
    t.deepEqual(
      MUST_BE_REACHED.filter((what) => !reached.has(what)),
      [],
    );
  t.pass();
});

test('a run of a seed is the same each time', async (t) => {
  const [first, second] = [await simulateTogether(7), await simulateTogether(7)];
  t.is(first.hash, second.hash);
  t.deepEqual(first.reached, second.reached);
});
