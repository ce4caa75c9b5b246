/** V27: a name server that says nothing, or nonsense, about the name of the aggregators: agents keep what they have, and find what is true. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { Site } from './agent.ts';
import { podAt } from './manifest.ts';
import { answered } from './matrix/waiting.ts';
import { MOODS, type Mood } from './moods.ts';
import { Namespace } from './namespace.ts';
import { program } from './program.ts';
import type { Standing } from './resolving.agent.ts';

const NAME = 'replicas.test';
const PORT = 9_465;
const MB = 1024 * 1024;
const replicaOf = (number: number) => `127.0.1.${number}`;
/** Each answer of them is another one. */
const FUZZED: readonly Mood['mood'][] = ['bytesChanged', 'cutAnywhere', 'garbage', 'flood'];
const WRONG = (Object.keys(MOODS) as Mood['mood'][]).filter((mood) => mood !== 'sane');

/** Runs what follows with a resolv.conf of its own: one server, which is asked once and waited for a second. */
function withNameServer(t: ExecutionContext): readonly string[] {
  const directory = mkdtempSync(join(tmpdir(), 'berth-names-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  const path = join(directory, 'resolv.conf');
  writeFileSync(path, 'nameserver 127.0.0.1\noptions timeout:1 attempts:1\n');
  const script = `mount --bind ${path} /etc/resolv.conf && exec "$@"`;
  return ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh'];
}

interface NameServer {
  /** From now on. Resolves to how many questions came since it was told the last time. */
  set(mood: Mood['mood'], ...replicas: readonly number[]): Promise<number>;
}

async function nameServer(namespace: Namespace): Promise<NameServer> {
  const child = namespace.node(join(import.meta.dirname, 'nameserver.ts'), [], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  await once(child, 'message');
  return {
    set: async (mood, ...replicas) => {
      const said = once(child, 'message') as Promise<[{ questions: number }]>;
      child.send({ mood, addresses: replicas.map(replicaOf) });
      return (await said)[0].questions;
    },
  };
}

/** A replica at its own loopback address; resolves once it listens. */
async function replica(namespace: Namespace, number: number): Promise<ChildProcess> {
  const at = replicaOf(number);
  const flags = [`--listen=${at}:${PORT}`, `--aggregator-metrics-address=${at}:9466`, '--ready-after=0s'];
  const child = namespace.node(await program('daemon/cli.ts'), ['aggregator', ...flags], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env.PATH },
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => {
    said += chunk;
  });
  await answered(() => (said.includes('"event":"listening"') ? true : undefined), 'the replica listens', {
    why: () => said,
  });
  return child;
}

interface Agent {
  readonly child: ChildProcess;
  standing(): Promise<Standing>;
  /** Waits until it is so. */
  until(holds: (standing: Standing) => boolean, what: string): Promise<Standing>;
}

async function agent(t: ExecutionContext, namespace: Namespace): Promise<Agent> {
  const [command = '', ...args] = withNameServer(t);
  const script = join(import.meta.dirname, 'resolving.agent.ts');
  const child = namespace.spawn(command, [...args, process.execPath, '--expose-gc', script, `${NAME}:${PORT}`], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  const standing = async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the agent ended');
    const said = once(child, 'message') as Promise<[Standing]>;
    child.send('how do you stand?');
    return (await said)[0];
  };
  const until = async (holds: (one: Standing) => boolean, what: string) => {
    let last: Standing | undefined;
    const ask = async () => {
      last = await standing();
      return holds(last) ? last : undefined;
    };
    return await answered(ask, what, { seconds: 60, why: () => JSON.stringify(last) });
  };
  return { child, standing, until };
}

const answersOf = ({ resolved, unresolved }: Standing) => resolved + unresolved;
const at = (number: number) => `${replicaOf(number)}:${PORT}`;

test.serial('V27: whatever a name server says, streams that stand go on, and nothing grows', async (t) => {
  using namespace = Namespace.create('names');
  const names = await nameServer(namespace);
  for (const number of [1, 2]) await replica(namespace, number);
  await names.set('sane', 1, 2);
  const { until } = await agent(t, namespace);
  const first = await until(({ connected }) => connected === 2, 'both replicas are told');
  for (const mood of WRONG) {
    await names.set(mood, 1, 2);
    // The first answer may be to a question before.
    const before = answersOf(await until(() => true, 'it answers'));
    const now = await until((one) => answersOf(one) >= before + 2, `it has asked again while the mood is ${mood}`);
    t.true((await names.set(mood, 1, 2)) > 0, `${mood}: it was asked`);
    t.is(now.ended[at(1)], undefined, mood);
    t.is(now.ended[at(2)], undefined, mood);
    t.true(now.connected >= 2, mood);
    t.true(now.links <= 128, `${mood}: ${now.links} links`);
  }
  await names.set('sane', 1, 2);
  const last = await until(({ links, connected }) => links === 2 && connected === 2, 'only what is true is left');
  t.deepEqual(last.accepted, { [at(1)]: 1, [at(2)]: 1 });
  t.log(`${answersOf(last)} answers, ${Math.round((last.held - first.held) / MB)} MB more`);
  t.true(last.held - first.held < 16 * MB);
});

test.serial(
  'V27: when answers are true again the agent finds the replicas that came, and lets go of those that went',
  async (t) => {
    using namespace = Namespace.create('names');
    const names = await nameServer(namespace);
    const one = await replica(namespace, 1);
    await names.set('sane', 1);
    const { until } = await agent(t, namespace);
    await until(({ connected }) => connected === 1, 'the replica is told');
    for (const mood of ['nxdomain', 'oddAddresses', 'garbage'] as const) {
      await names.set(mood);
      const before = answersOf(await until(() => true, 'it answers'));
      await until((standing) => answersOf(standing) >= before + 2, mood);
    }
    await replica(namespace, 2);
    // The first is known no more, and stands.
    await names.set('sane', 2);
    const both = await until(({ connected, links }) => connected === 2 && links === 2, 'the second is told too');
    t.deepEqual(both.ended, {});
    one.kill('SIGKILL');
    const last = await until(({ links, connected }) => links === 1 && connected === 1, 'the first is let go');
    t.deepEqual(last.accepted, { [at(1)]: 1, [at(2)]: 1 });
  },
);

test.serial('V27: whatever comes instead of an answer, looking a name up never does worse than fail', async (t) => {
  using namespace = Namespace.create('names');
  const names = await nameServer(namespace);
  const [command = '', ...args] = withNameServer(t);
  for (const mood of WRONG) {
    await names.set(mood, 1, 2);
    const script = join(import.meta.dirname, 'resolving.lookups.ts');
    const count = FUZZED.includes(mood) ? 512 : 64;
    const child = namespace.spawn(command, [...args, process.execPath, script, NAME, `${count}`], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const said = text(child.stdout as NonNullable<ChildProcess['stdout']>);
    const [code, signal] = await once(child, 'exit');
    t.deepEqual([code, signal], [0, null], mood);
    const { found, failed } = JSON.parse(await said) as { found: number; failed: number };
    t.log(`${mood}: ${found} answers, ${failed} failures`);
    t.is(found + failed, count);
  }
});

test.serial(
  'V27: an agent whose name server is silent maps ports all the same, and reports once it is told where',
  async (t) => {
    await using site = new Site();
    const names = await nameServer(site.node);
    await replica(site.node, 1);
    const agentOf = await site.run({
      flags: ['--aggregator', `dns:///${NAME}:${PORT}`],
      under: withNameServer(t),
    });
    const plan = podAt(site.place('web', 8080), { annotations: { 'berth.dev/ports': '' } });
    site.declare(plan);
    const [port = 0] = (await site.mapped(plan)).values();
    await site.answers(port, 'web sees 192.0.2.2');
    await site.until(() => agentOf.logged('aggregator-unresolved').length > 0, 'it says that nobody answers');
    await names.set('sane', 1);
    await site.until(async () => agentOf.logged('aggregator-connected').length > 0, 'it reports');
    await names.set('nxdomain');
    await site.until(async () => agentOf.logged('aggregator-unresolved').length > 1, 'the name is gone');
    t.deepEqual(agentOf.logged('aggregator-lost'), []);
    t.is(await site.metric('berth_aggregator_streams'), 1);
    t.is(await site.ask(port), 'web sees 192.0.2.2');
  },
);
