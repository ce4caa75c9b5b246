/** Pods that may be gone: each is asked for by itself, and an answer that is older than an event does not count. */
import test from 'ava';
import type { Pod, PodRef } from '../../daemon/core/vocabulary.ts';
import type { PodSource } from '../../daemon/reconcile/ports.ts';
import { Suspects } from '../../daemon/reconcile/suspects.ts';
import { VirtualTime } from '../simulate/virtualtime.ts';
import { Rig, server } from './rig.ts';

/** Questions that the test answers, by `namespace/name`, in the order in which they were asked. */
class Questions {
  readonly open: { readonly name: string; readonly answer: PromiseWithResolvers<Pod | undefined> }[] = [];
  asked = 0;

  readonly get = (_namespace: string, name: string): Promise<Pod | undefined> => {
    this.asked++;
    const answer = Promise.withResolvers<Pod | undefined>();
    this.open.push({ name, answer });
    return answer.promise;
  };

  /** The oldest open question of this name. */
  take(name: string): PromiseWithResolvers<Pod | undefined> {
    const index = this.open.findIndex((one) => one.name === name);
    const [found] = this.open.splice(index, index < 0 ? 0 : 1);
    if (found === undefined) throw new Error(`nobody asks for ${name}`);
    return found.answer;
  }
}

async function asking(count: number): Promise<{ readonly rig: Rig; readonly questions: Questions }> {
  const rig = new Rig();
  const questions = new Questions();
  rig.echoes = false;
  rig.wrap = (world) => ({
    ...world,
    source: { watch: (observer, signal) => rig.source.watch(observer, signal), get: questions.get },
  });
  await rig.start();
  for (let index = 1; index <= count; index++) rig.source.set(server(index));
  await rig.settle();
  return { rig, questions };
}

test('I8: a GET that is slow holds up neither other questions nor other pods', async (t) => {
  const { rig, questions } = await asking(2);

  // Step 1: both are missing from a list; the first answer does not come.
  rig.source.relist([]);
  await rig.settle();
  questions.take('server-2').resolve(undefined);
  await rig.settle();
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);

  // Step 2: passes go on.
  rig.source.set(server(3));
  await rig.settle();
  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-3/web TCP 20002']);
});

test('an answer that is older than an event does not count: the pod is asked for again', async (t) => {
  const { rig, questions } = await asking(1);
  const successor = server(1, { uid: 'uid-1b', createdAt: 50, podIPs: ['10.0.0.50'] });

  // Step 1: asked, and not answered yet; meanwhile an event tells of a successor.
  rig.source.relist([]);
  await rig.settle();
  rig.loop.changed(successor);
  await rig.settle();

  // Step 2: the old answer says that the first one lives.
  questions.take('server-1').resolve(server(1));
  await rig.settle();
  t.is(questions.open.length, 1, 'asked again');

  // Step 3: the new answer.
  questions.take('server-1').resolve(successor);
  await rig.settle();
  t.deepEqual(
    [...rig.announced.values()].map(({ pod }) => pod.uid),
    ['uid-1b'],
  );
});

test('an old answer about a pod of the last agent does not drop the successor of which an event told meanwhile', async (t) => {
  const { rig, questions } = await asking(1);
  const successor = server(1, { uid: 'uid-1b', createdAt: 50, podIPs: ['10.0.0.50'] });

  // Step 1: the next agent knows the pod from the last one alone, and asks for it.
  await rig.stop();
  rig.reserver.crash();
  rig.source.delete('games', 'server-1');
  await rig.start();
  t.is(questions.open.length, 1);

  // Step 2: an event overtakes the answer.
  rig.loop.changed(successor);
  questions.take('server-1').resolve(server(1));
  await rig.advance(1_000);
  t.true([...rig.announced.values()].some(({ pod }) => pod.uid === 'uid-1b'));

  // Step 3: the new answer.
  questions.take('server-1').resolve(successor);
  await rig.settle();
  t.deepEqual(
    [...rig.announced.values()].map(({ pod }) => pod.uid),
    ['uid-1b'],
  );
});

test('an old answer does not remove a pod of which an event told meanwhile', async (t) => {
  const { rig, questions } = await asking(1);
  rig.source.relist([]);
  await rig.settle();
  rig.loop.changed(server(1));
  questions.take('server-1').resolve(undefined);
  await rig.settle();
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('an old answer does not bring back a pod of whose deletion an event told meanwhile', async (t) => {
  const { rig, questions } = await asking(1);
  rig.source.relist([]);
  await rig.settle();
  rig.source.delete('games', 'server-1');
  questions.take('server-1').resolve(server(1));
  await rig.settle();
  t.deepEqual(rig.live(), []);
});

test('of two pods of one name one is gone: the older is asked for, the younger waits for the number of the other, but not for long', async (t) => {
  const { rig, questions } = await asking(1);
  const successor = server(1, { uid: 'uid-1b', createdAt: 50, podIPs: ['10.0.0.50'] });
  rig.loop.changed(successor);
  await rig.advance(999);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.is(rig.reason(successor), 'PortsPending');
  await rig.advance(1);
  t.is(rig.live().length, 2);
  questions.take('server-1').resolve(successor);
  await rig.settle();
  t.deepEqual(
    [...rig.announced.values()].map(({ pod }) => pod.uid),
    ['uid-1b'],
  );
});

interface Bench {
  readonly time: VirtualTime;
  readonly suspects: Suspects;
  readonly questions: Questions;
  readonly source: PodSource;
  readonly answers: string[];
  readonly failures: string[];
  readonly inquirer: Parameters<Suspects['ask']>[1];
}

function bench(): Bench {
  const time = new VirtualTime();
  const clock = { now: () => time.wall, monotonic: () => time.now, after: time.after.bind(time) };
  const suspects = new Suspects(clock);
  const questions = new Questions();
  const answers: string[] = [];
  const failures: string[] = [];
  const inquirer = {
    answered: (suspect: PodRef, pod: Pod | undefined) => {
      answers.push(`${suspect.uid}: ${pod?.uid ?? 'none'}`);
      suspects.settle(suspect.uid);
    },
    failed: (error: Error) => failures.push(error.message),
  };
  const source = { watch: () => Promise.resolve(), get: questions.get };
  return { time, suspects, questions, source, answers, failures, inquirer };
}

const turn = () => new Rig().settle();

test('I10: no more than eight questions are open at a time, and each is asked once', async (t) => {
  const { suspects, questions, source, inquirer, answers } = bench();
  for (let index = 0; index < 20; index++) suspects.add(server(index));
  suspects.ask(source, inquirer);
  suspects.ask(source, inquirer);
  t.is(questions.open.length, 8);
  while (questions.open.length > 0) {
    questions.take(questions.open[0]?.name ?? '').resolve(undefined);
    await turn();
    t.true(questions.open.length <= 8);
  }
  t.is(questions.asked, 20);
  t.is(answers.length, 20);
});

test('I10: a question that failed is told of and asked again a second later, not sooner', async (t) => {
  const { time, suspects, questions, source, inquirer, failures } = bench();
  suspects.add(server(1));
  suspects.ask(source, inquirer);
  questions.take('server-1').reject(new Error('away'));
  await turn();
  suspects.ask(source, inquirer);
  t.deepEqual([failures, questions.open.length], [['away'], 0]);
  time.step(999);
  await turn();
  t.is(questions.open.length, 0);
  time.step(1_000);
  await turn();
  t.is(questions.open.length, 1);
});

test('the nameless are asked for together by one list, without which nobody is left of them', async (t) => {
  const { suspects, inquirer, answers } = bench();
  let lists = 0;
  const refs = ['uid-1', 'uid-2'].map((uid) => ({ namespace: '', name: '', uid }));
  for (const ref of refs) suspects.add(ref);
  const source = {
    watch: () => Promise.resolve(),
    get: () => Promise.reject(new Error('nobody has an empty name')),
    list: () => {
      lists++;
      return Promise.resolve([server(2)]);
    },
  };
  suspects.ask(source, inquirer);
  await turn();
  t.deepEqual([answers.splice(0), lists], [['uid-1: none', 'uid-2: uid-2'], 1]);

  for (const ref of refs) suspects.add(ref);
  suspects.ask({ watch: source.watch, get: source.get }, inquirer);
  await turn();
  t.deepEqual(answers, ['uid-1: none', 'uid-2: none']);
});

test('a suspect that was settled meanwhile is not told of', async (t) => {
  const { suspects, questions, source, inquirer, answers } = bench();
  suspects.add(server(1));
  suspects.ask(source, inquirer);
  suspects.settle('uid-1');
  questions.take('server-1').resolve(undefined);
  await turn();
  t.deepEqual(answers, []);
  t.is(questions.open.length, 0);
});

test('after stop nothing is asked, told or left running', async (t) => {
  const { time, suspects, questions, source, inquirer, answers } = bench();
  for (const index of [1, 2]) suspects.add(server(index));
  suspects.ask(source, inquirer);
  questions.take('server-1').reject(new Error('away'));
  await turn();
  suspects.stop();
  questions.take('server-2').resolve(undefined);
  await turn();
  suspects.add(server(3));
  suspects.ask(source, inquirer);
  t.deepEqual([answers, questions.open.length, time.step(60_000)], [[], 0, false]);
});
