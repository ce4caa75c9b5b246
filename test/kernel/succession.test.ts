/** One agent after another, and one beside another: what is handed over, and what each may touch. */
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { disk } from '../ops/disk.ts';
import { type AgentProcess, NODE, Site, type StartOptions } from './agent.ts';
import { heldSockets } from './heldsockets.ts';
import { type PodPlan, pod, podAt } from './manifest.ts';
import { Conversation } from './matrix/conversation.ts';
import { SlowNft } from './slownft.ts';
import { announcedIn, installedIn, NFT, numbersOf, writtenIn } from './standing.ts';

/** A pod that is served, and its number. */
async function servedPod(site: Site, name: string): Promise<{ readonly plan: PodPlan; readonly port: number }> {
  site.place(name, 8080);
  const plan = podAt(site.topology.place(name));
  site.declare(plan);
  const port = (await site.mapped(plan)).get('web/TCP') ?? 0;
  return { plan, port };
}

test.serial(
  'I6: 10,000 mappings are adopted: every number, every rule and every word is the same afterwards',
  async (t) => {
    await using site = new Site({ pools: [] });
    site.place('pod-0', 8080);
    const file = join(site.directory, 'pools.yaml');
    writeFileSync(file, 'pools: [{ name: default, ranges: 10000-29999, maxPortsPerPod: 100 }]\n');
    const start: StartOptions = { flags: ['--pools-file', file] };
    const ports = Array.from({ length: 100 }, (_, index) => ({ name: `p${index}`, containerPort: 8080 + index }));
    const plans = Array.from({ length: 100 }, (_, index) => {
      const { address } = site.topology.place('pod-0');
      return pod(`pod-${index}`, { ports, podIPs: [index === 0 ? address[4] : `10.244.1.${index}`] });
    });
    // No neighbours are there, so that nothing answers; the kernel's table is what counts.
    site.node.ip('addr add 10.244.1.254/24 dev br0');
    site.declare(...plans);
    const first = await site.run(start);
    await site.until(async () => (await site.metric('berth_mappings')) === 10_000, 'all are mapped');
    const holdings = await site.agreed(first, (all) => all.length === 10_000);
    await Promise.all(plans.map((plan) => site.mapped(plan)));
    const elements = texts(site);
    const told = words(site);
    await first.stop();

    const began = performance.now();
    const second = await site.run(start);
    t.log(`ready ${Math.round(performance.now() - began)} ms after it was started`);
    t.deepEqual(await site.agreed(second), holdings);
    t.deepEqual(texts(site), elements);
    t.deepEqual(second.logged('mapped'), []);
    t.deepEqual(
      second.logged('adopted').map(({ mappings }) => mappings),
      [10_000],
    );
    t.deepEqual(second.logged('released'), []);
    t.deepEqual(second.logged('healed'), []);
    const of = first.logged('mapped').find(({ pod: name, port }) => name === 'pod-0' && port === 'p0');
    t.is(await site.ask(Number(of?.hostPort)), 'pod-0 sees 192.0.2.2');
    await second.stop('SIGTERM');
    t.deepEqual(words(site), told);
  },
);

function texts(site: Site): readonly string[] {
  return site
    .elements()
    .map((element) => JSON.stringify(element))
    .sort();
}

/** Everything that pods were told, with the time at which it was written. */
function words(site: Site): Readonly<Record<string, string>> {
  const directory = join(site.manifests.path, '.status');
  const files = readdirSync(directory).map((name) => join(directory, name));
  return Object.fromEntries(files.map((path) => [path, `${statSync(path).mtimeMs} ${readFileSync(path, 'utf8')}`]));
}

test.serial(
  'I6: an agent beside another waits, says for whom, touches nothing, and takes over when that dies',
  async (t) => {
    await using site = new Site();
    const first = await site.run();
    const { plan, port } = await servedPod(site, 'one');
    const holdings = await site.agreed(first);
    using talk = new Conversation(site.topology.client, { protocol: 'TCP', address: NODE[4], port });
    t.is(await talk.ask(), 'one sees 192.0.2.2');
    const before = traces(site);

    const second = await site.start({ flags: ['--metrics-address', '127.0.0.1:9465'] });
    await site.until(async () => (await site.ready(9465)).status === 503, 'the second answers');
    await site.until(() => second.logged('waiting').length > 0, 'it waits');
    t.is((await site.ready(9465)).text, `not ready: another agent (pid ${first.pid}) holds ${site.stateDir}/lock\n`);
    t.deepEqual(
      second.logged('waiting').map(({ message }) => String(message).includes(`pid ${first.pid}`)),
      [true],
    );

    // The first goes on working, for pods that come meanwhile too.
    const { plan: other } = await servedPod(site, 'two');
    site.withdraw(other);
    await site.until(() => site.told(other) === undefined, 'it has gone');
    t.deepEqual(await site.agreed(first), holdings);
    t.deepEqual(traces(site).elements, before.elements);
    t.is(traces(site).socket, before.socket);
    t.deepEqual(heldSockets(second.pid), []);
    t.deepEqual(announcedIn(await site.list()), holdings);

    await first.stop();
    await site.until(async () => (await site.ready(9465)).status === 200, 'the second takes over');
    t.deepEqual(await site.agreed(second), holdings);
    t.deepEqual(traces(site).elements, before.elements);
    t.is(await talk.ask(), 'one sees 192.0.2.2');
    t.deepEqual(
      second.logged('adopted').map(({ mappings }) => mappings),
      [2],
    );
    t.is(site.told(plan)?.conditions[0]?.status, 'True');

    // One that waits with its metrics address taken serves there once it is free.
    const third = await site.start({ flags: ['--metrics-address', '127.0.0.1:9465'] });
    await site.until(() => third.logged('waiting').length > 0, 'the third waits');
    t.deepEqual(await second.stop('SIGTERM'), { code: 0, signal: null });
    await site.until(async () => (await site.ready(9465)).status === 200, 'the third takes over');
    t.deepEqual(await site.agreed(third), holdings);
    t.is(await talk.ask(), 'one sees 192.0.2.2');
  },
);

interface Traces {
  readonly elements: readonly string[];
  /** Which file the socket is. */
  readonly socket: number;
}

function traces(site: Site): Traces {
  return { elements: texts(site), socket: statSync(site.socket).ino };
}

test.serial(
  'I6: SIGTERM in the middle of a pass: the pass is ended, the agent ends by itself, rules stay, the next adopts them',
  async (t) => {
    await using site = new Site();
    const slow = new SlowNft(site, 1);
    const agent = await site.run({ ...slow.start, flags: ['--nft-transport', 'nft'] });
    site.place('one', 8080);
    const plan = podAt(site.topology.place('one'));
    site.declare(plan);
    await site.until(() => slow.running > 0, 'a transaction is under way');
    const [promised] = numbersOf(writtenIn(site.state()));

    t.deepEqual(await agent.stop('SIGTERM'), { code: 0, signal: null });
    t.is(slow.running, 0);
    const rules = installedIn(site.elements());
    t.deepEqual(numbersOf(rules)[0], promised);
    t.is(agent.logged('failure').length, 0);
    t.false(readdirSync(site.directory).includes('agent.sock'));
    const port = Number(promised?.split('/')[1]);
    t.is(await site.ask(port), 'one sees 192.0.2.2');

    const next = await site.run();
    t.deepEqual(await site.agreed(next), rules);
    await site.mapped(plan);
  },
);

/** What can be lost between two agents, and what the number is then known from. */
const LOSSES: Readonly<Record<string, (site: Site) => void>> = {
  'the state file is gone': (site) => rmSync(join(site.stateDir, 'state.json')),
  'the state file is torn': (site) => tear(join(site.stateDir, 'state.json')),
  'the state file is of another program': (site) =>
    writeFileSync(join(site.stateDir, 'state.json'), '{"apiVersion":"v1"}'),
  'the state file is empty': (site) => writeFileSync(join(site.stateDir, 'state.json'), ''),
  'the kernel is empty, as after a reboot': (site) => flush(site),
  'the kernel is empty and the state file is gone: the number is in what the pod was told': (site) => {
    flush(site);
    rmSync(join(site.stateDir, 'state.json'));
  },
};

function tear(path: string): void {
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.slice(0, text.length / 2));
}

function flush(site: Site): void {
  site.node.run(NFT, ['flush', 'ruleset']);
  execFileSync('ip', ['netns', 'exec', site.node.name, 'conntrack', '-F'], { stdio: 'ignore' });
}

for (const [loss, lose] of Object.entries(LOSSES)) {
  test.serial(`I6: no number changes although ${loss}`, async (t) => {
    await using site = new Site();
    const first = await site.run();
    const { plan, port } = await servedPod(site, 'one');
    site.place('block', 20_500);
    const block = podAt(site.topology.place('block'), {
      annotations: { 'berth.dev/ports': 'rtp=20500-20504/udp' },
      ports: [],
    });
    site.declare(block);
    await site.mapped(block);
    const holdings = await site.agreed(first);
    await first.stop();
    lose(site);

    const second = await site.run();
    await site.mapped(plan);
    t.deepEqual(await site.agreed(second, (all) => all.length === holdings.length), holdings);
    await site.answers(port, 'one sees 192.0.2.2');
    await site.answers(20_500, 'block sees 2001:db8:1::2', { protocol: 'UDP', address: NODE[6] });
  });
}

test.serial(
  'I3: a full disk of the state directory delays nobody and is told with the remedy; then everything is written',
  async (t) => {
    const { path } = disk(t, '16k');
    await using site = new Site({ stateDir: path });
    const first = await site.run();
    const one = await servedPod(site, 'one');
    await site.agreed(first);
    fill(join(path, 'filler'));

    const two = await servedPod(site, 'two');
    t.is(await site.ask(two.port), 'two sees 192.0.2.2');
    t.is(await site.ask(one.port), 'one sees 192.0.2.2');
    const [failure] = first.logged('failure');
    t.like(failure, { operation: 'state', error: { code: 'STATE_UNUSABLE' } });
    t.regex(
      JSON.stringify(failure),
      /cannot write .*state\.json: ENOSPC: no space is left: free some on this file system/,
    );
    t.true((await site.metric('berth_errors_total')) > 0);
    t.deepEqual(
      writtenIn(site.state()).filter((holding) => holding.startsWith(two.plan.uid)),
      [],
      'it could not be written',
    );

    // The kernel knows what the disk does not.
    await first.stop();
    const second = await site.run();
    t.is((await site.mapped(two.plan)).get('web/TCP'), two.port);
    await site.until(() => second.logged('failure').some(({ operation }) => operation === 'state'), 'it says so again');
    rmSync(join(path, 'filler'));
    await site.agreed(second, (all) => all.length === 4);
    const recovered = () => second.logged('recovered').filter(({ operation }) => operation === 'state').length;
    await site.until(() => recovered() === 1, 'it says that it is well again');
  },
);

/** Writes until nothing more goes onto the file system. */
function fill(path: string): void {
  try {
    for (;;) writeFileSync(path, 'x'.repeat(512), { flag: 'a' });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
  }
}

test.serial('I10: what goes wrong again and again is said again and again, but not each time', async (t) => {
  await using site = new Site();
  const agent = await site.run();
  const { port } = await servedPod(site, 'one');
  const wrong = podAt(site.topology.place('one'), { name: 'wrong', podIPs: ['10.244.0.99'] });
  for (let round = 0; round < 300; round++) {
    const annotations = { 'berth.dev/ports': `no-such-port-${round}` };
    site.declare({ ...wrong, annotations });
    await site.until(
      () => site.told(wrong)?.conditions[0]?.message.includes(`-${round}"`) ?? false,
      `round ${round} is told`,
    );
  }
  t.true(lines(agent, 'problem') <= 110, `${lines(agent, 'problem')} lines`);
  t.true((site.told(wrong)?.events.length ?? 0) <= 20);

  const descriptors = readdirSync(`/proc/${agent.pid}/fd`).length;
  for (let round = 0; round < 40; round++) {
    site.node.run(NFT, ['delete', 'table', 'inet', 'berth']);
    await site.answers(port, 'one sees 192.0.2.2');
  }
  t.true(lines(agent, 'healed') <= 10, `${lines(agent, 'healed')} lines`);
  t.true(agent.log.length < 200_000);
  t.true(readdirSync(`/proc/${agent.pid}/fd`).length <= descriptors + 2, 'descriptors do not pile up');
});

function lines(agent: AgentProcess, event: string): number {
  return agent.logged(event).length;
}
