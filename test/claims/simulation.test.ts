/** Runs of the simulation: none breaks a rule, and everything that can go wrong did in one of them. */
import test from 'ava';
import { simulate } from './simulation.ts';

const SEEDS = Number(process.env.SEEDS ?? 150);
const FIRST = Number(process.env.FIRST ?? 1);

const MUST_BE_REACHED = [
  'a watch is behind for seconds',
  'a replica dies before a write',
  'a request is slow',
  'replyLost',
  'refuseConnection',
  'an answer is 409',
  'an answer is 429',
  'an answer is 500, to a read',
  'a host port is deleted',
  'a host port is deleted as soon as it is there',
  'an administrator makes a host port',
  'a class is deleted',
  'a class comes again',
  'the pool changes',
  'a list is old when it comes',
  'revisions are forgotten',
  'a host port is removed by force',
  'a claimRef is changed by hand',
  'a replica is killed',
  'a pod uses a claim',
  '200 claims at once',
] as const;

test('no number goes to two claims, none changes, no claim takes another\u2019s, and everything converges', async (t) => {
  const reached = new Set<string>();
  let bound = 0;
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const result = await simulate(seed);
    if (result.violation !== undefined) t.fail(`seed ${seed}: ${result.violation.rule}: ${result.violation.detail}`);
    for (const what of result.reached.keys()) reached.add(what);
    bound += result.bound;
  }
  t.log(`${SEEDS} runs, ${bound} claims bound`);
  if (SEEDS >= 100)
    t.deepEqual(
      MUST_BE_REACHED.filter((what) => !reached.has(what)),
      [],
    );
  t.true(bound > SEEDS);
});

test('a run of a seed is the same each time', async (t) => {
  const [first, second] = [await simulate(11), await simulate(11)];
  t.is(first.fingerprint, second.fingerprint);
  t.deepEqual(first.reached, second.reached);
});
