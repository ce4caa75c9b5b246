/** Taking Berth off a node of the real kernel: nothing of it is left, and everything of others is as it was. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { NODE, Site, type SiteOptions } from './agent.ts';
import { flow, track } from './connections.ts';
import { BOTH, type PodPlan, pod, podAt } from './manifest.ts';
import { Conversation } from './matrix/conversation.ts';
import { translate, VIPS } from './matrix/otherprogram.ts';
import { LAYOUTS } from './matrix/topology.ts';
import { tracked } from './matrix/tracked.ts';
import { program } from './program.ts';
import { NFT } from './standing.ts';

const RESERVED = 'net.ipv4.ip_local_reserved_ports';
/** In the ephemeral range, so that the agent reserves it. */
const POOLS = ['default=40000-40999'];

interface Run {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** A node that had a life before Berth, with two pods that have mappings. */
class Inhabited implements AsyncDisposable {
  readonly site: Site;
  readonly open: PodPlan;
  readonly block: PodPlan;
  port = 0;
  /** What the command that ran last has said on standard error so far. */
  saying = '';
  #dieAfter: string | undefined;

  private constructor(options: SiteOptions) {
    this.site = new Site({ pools: POOLS, ...options });
    const { site } = this;
    this.open = podAt(site.place('open', 8080));
    this.block = pod('block', {
      annotations: { 'berth.dev/ports': 'rtp=40500-40502/udp', 'tkestack.io/portmapping': '' },
      ports: BOTH,
      podIPs: [site.place('block', 40_501).address[4]],
    });
  }

  static open(options: SiteOptions = {}): Inhabited {
    const node = new Inhabited(options);
    try {
      node.#settle();
      return node;
    } catch (error) {
      void node[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** What others have there, some of it under names that resemble Berth's. */
  #settle(): void {
    const { node } = this.site;
    node.sysctl(RESERVED, '8080,40100-40199');
    translate(
      node,
      'nft',
      { address: VIPS.nft[4], port: 80 },
      { address: this.site.place('open').address[4], port: 8080 },
    );
    const tables = [
      'table ip berth {',
      'set any4 {',
      'type inet_service',
      'elements = { 1 }',
      '}',
      '}',
      'table inet berths {',
      '}',
    ];
    node.run(NFT, ['-f', '-'], `${tables.join('\n')}\n`);
  }

  /** Both pods are mapped, and a client has spoken to each way. */
  async serve(): Promise<void> {
    const { site } = this;
    site.declare(this.open, this.block);
    this.port = (await site.mapped(this.open)).get('web/TCP') ?? 0;
    await site.mapped(this.block);
    await site.answers(this.port, 'open sees 192.0.2.2');
    // The list of ports, and every device that leads to a pod: written down behind the mappings.
    const settings = this.site.topology.layout.bridge ? 2 : 3;
    await site.until(() => site.state().settings.length === settings, 'the settings are remembered');
  }

  /** Everything on the node that is not Berth's, as text. */
  foreign(): string {
    const { node } = this.site;
    const tables = node
      .run(NFT, ['list', 'tables'])
      .trim()
      .split('\n')
      .filter((line) => line !== 'table inet berth');
    return tables.map((line) => node.run(NFT, ['-s', 'list', ...line.split(' ')])).join('');
  }

  async uninstall(...flags: readonly string[]): Promise<Run> {
    const { site } = this;
    const file = await program('daemon/cli.ts');
    const places = ['--pods', `dir:${site.manifests.path}`, '--state-dir', site.stateDir, '--socket', site.socket];
    const child = site.node.node(file, ['uninstall', ...places, '--timeout', '0s', ...flags]);
    const out: Buffer[] = [];
    this.saying = '';
    child.stdout?.on('data', (data) => {
      out.push(data);
      if (this.#dieAfter !== undefined && String(data).includes(this.#dieAfter)) child.kill('SIGKILL');
    });
    child.stderr?.on('data', (data) => {
      this.saying += data;
    });
    const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
    return { code, out: String(Buffer.concat(out)), err: this.saying };
  }

  /** `kill -9` as soon as it has told of this step; it may have come further by then. Resolves to whether that hit it. */
  async killed(step: string): Promise<boolean> {
    this.#dieAfter = step;
    const { code } = await this.uninstall();
    this.#dieAfter = undefined;
    return code === null;
  }

  /** What of Berth's is still there, as far as a person would look. */
  remains(): readonly string[] {
    const { site } = this;
    const tables = site.node.run(NFT, ['list', 'tables']).split('\n').includes('table inet berth');
    const open = site.node
      .run('sh', ['-c', 'grep -l 1 /proc/sys/net/ipv4/conf/*/route_localnet || true'])
      .split('\n')
      .filter((line) => line !== '');
    const files = [site.socket, join(site.manifests.path, '.status')].filter((path) => existsSync(path));
    const state = existsSync(site.stateDir) ? readdirSync(site.stateDir) : [];
    return [...(tables ? ['table'] : []), ...open, ...files, ...state];
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.site[Symbol.asyncDispose]();
  }
}

for (const layout of LAYOUTS.filter(({ callIptables }) => !callIptables)) {
  test.serial(`${layout.name}: nothing of Berth is left, and everything of others is as it was`, async (t) => {
    await using node = Inhabited.open({ layout });
    const { site } = node;
    const before = node.foreign();
    const agent = await site.run();
    await node.serve();
    // Of another program's translation, of the node's own, and of what only looks like a mapping.
    using service = new Conversation(site.topology.client, { protocol: 'UDP', address: VIPS.nft[4], port: 80 });
    t.regex(await service.ask(), /^open sees/);
    const ours = { destination: NODE[4], port: node.port, replySource: site.place('open').address[4] };
    await track(site.node, [
      flow({ ...ours, replySource: '10.244.0.99', sourcePort: 7001 }),
      flow({ ...ours, destination: '198.51.100.2', sourcePort: 7002 }),
      flow({ ...ours, sourcePort: 7003 }),
    ]);
    // Somebody reserves a number beside, while Berth is there.
    site.node.sysctl(RESERVED, `${site.node.sysctl(RESERVED)},45000`);
    await agent.stop();

    const run = await node.uninstall();

    t.is(run.code, 0, `${run.out}${run.err}`);
    t.regex(run.out, /^pods +took annotations and condition from 2 pods: default\/block, default\/open$/m);
    t.regex(run.out, /^devices +set route_localnet back to 0 on /m);
    t.regex(run.out, /^rules +deleted the table inet berth with \d+ mappings$/m);
    t.regex(run.out, /^flows +deleted \d+ tracked flows$/m);
    t.regex(run.out, /^ports +set .* to "8080,40100-40199,45000"$/m);
    t.regex(run.out, /^nothing of Berth is left on this node$/m);
    t.deepEqual(node.remains(), []);
    t.is(node.foreign(), before);
    t.is(site.node.sysctl(RESERVED), '8080,40100-40199,45000');
    const flows = tracked(site.node);
    t.deepEqual(
      flows.filter(
        ({ original, reply }) =>
          original.port === node.port && reply.source === ours.replySource && original.destination === NODE[4],
      ),
      [],
    );
    for (const port of [7001, 7002])
      t.true(
        flows.some(({ original }) => original.sourcePort === port),
        `${port}`,
      );
    t.regex(await service.ask(), /^open sees/, 'the other program goes on');
    t.is(await site.ask(node.port), 'ECONNREFUSED');
    t.true(existsSync(join(site.manifests.path, 'open.json')));
  });
}

test.serial('a second time is no error, and neither is a node that never had Berth', async (t) => {
  await using node = Inhabited.open();
  const { site } = node;
  const never = await node.uninstall();
  t.is(never.code, 0, never.out + never.err);
  t.false(existsSync(site.stateDir), 'the directory that the lock made is gone again');
  const agent = await site.run();
  await node.serve();
  await agent.stop();
  t.is((await node.uninstall()).code, 0);
  const before = node.foreign();
  const again = await node.uninstall();
  t.is(again.code, 0, again.out + again.err);
  t.regex(again.out, /^rules +there is no table inet berth$/m);
  t.is(node.foreign(), before);
  t.is(site.node.sysctl(RESERVED), '8080,40100-40199');
});

test.serial('it is refused while an agent runs, with its pid and the remedy, and nothing is touched', async (t) => {
  await using node = Inhabited.open();
  const { site } = node;
  const agent = await site.run();
  await node.serve();
  const run = await node.uninstall();
  t.is(run.code, 1);
  t.is(run.out, '');
  t.regex(run.err, new RegExp(`still runs \\(pid ${agent.pid}\\) and holds .*/lock: stop it first .*--timeout`));
  await site.answers(node.port, 'open sees 192.0.2.2');
  t.is(site.told(node.open)?.conditions[0]?.status, 'True');
});

test.serial('an agent that is about to end is waited for', async (t) => {
  await using node = Inhabited.open();
  const agent = await node.site.run();
  await node.serve();
  const running = node.uninstall('--timeout', '30s');
  await node.site.until(() => node.saying.includes('waiting for the agent'), 'it waits');
  await agent.stop('SIGTERM');
  const run = await running;
  t.is(run.code, 0, run.out + run.err);
  t.regex(run.err, /waiting for the agent of this node to end/);
  t.deepEqual(node.remains(), []);
});

test.serial('a dry run tells everything and changes nothing, whether an agent runs or not', async (t) => {
  await using node = Inhabited.open();
  const { site } = node;
  const agent = await site.run();
  await node.serve();
  const beside = await node.uninstall('--dry-run');
  t.is(beside.code, 1);
  t.regex(beside.out, new RegExp(`^lock +left: the agent of this node still runs \\(pid ${agent.pid}\\)`, 'm'));
  await agent.stop();
  const all = () => [node.remains(), site.node.sysctl(RESERVED), site.node.run(NFT, ['-s', 'list', 'ruleset'])];
  const before = all();
  const run = await node.uninstall('--dry-run');
  t.is(run.code, 0, run.out + run.err);
  t.regex(run.out, /^rules +would delete the table inet berth with \d+ mappings$/m);
  t.regex(run.out, /^flows +would delete \d+ tracked flows?$/m);
  t.regex(run.out, /^ports +would set .* to "8080,40100-40199"$/m);
  t.regex(run.out, /^files +would remove .*state\.json/m);
  t.deepEqual(all(), before);
});

test.serial('after a crash between the rules and the flows, the flows are found by the state file', async (t) => {
  await using node = Inhabited.open();
  const { site } = node;
  const agent = await site.run();
  await node.serve();
  await agent.stop();
  const ours = { destination: NODE[4], port: node.port, replySource: site.place('open').address[4] };
  await track(site.node, [flow({ ...ours, sourcePort: 7003 })]);
  site.node.run(NFT, ['delete', 'table', 'inet', 'berth']);

  const run = await node.uninstall();

  t.is(run.code, 0, run.out + run.err);
  t.false(tracked(site.node).some(({ original }) => original.sourcePort === 7003));
  t.deepEqual(node.remains(), []);
});

for (const step of ['pods', 'devices', 'rules', 'flows', 'ports']) {
  test.serial(`killed after the step ${step}, it finishes when it is run again`, async (t) => {
    await using node = Inhabited.open();
    const { site } = node;
    const before = node.foreign();
    const agent = await site.run();
    await node.serve();
    await agent.stop();
    t.log((await node.killed(`${step} `)) ? 'killed on its way' : 'it had ended already');
    const run = await node.uninstall();
    t.is(run.code, 0, run.out + run.err);
    t.deepEqual(node.remains(), []);
    t.is(node.foreign(), before);
    t.is(site.node.sysctl(RESERVED), '8080,40100-40199');
  });
}

test.serial(
  'what cannot be put back is told with the remedy, the rest is done, and the state file waits for another run',
  async (t) => {
    await using node = Inhabited.open();
    const { site } = node;
    const agent = await site.run();
    await node.serve();
    await agent.stop();
    const away = join(site.directory, 'sys');
    mkdirSync(away);

    const run = await node.uninstall('--proc-sys', away);

    t.is(run.code, 1);
    t.regex(
      run.out,
      /^ports +left: .*ENOENT.*; set the list back by hand: sysctl -w net\.ipv4\.ip_local_reserved_ports=/m,
    );
    t.regex(run.out, /^files +left: .*state\.json: it remembers .*run berth uninstall again$/m);
    t.regex(run.out, /^2 things of Berth left on this node, see above$/m);
    t.deepEqual(node.remains(), ['state.json']);
    t.is((await node.uninstall()).code, 0);
    t.is(site.node.sysctl(RESERVED), '8080,40100-40199');
    t.deepEqual(node.remains(), []);
  },
);

test.serial('pods that cannot be read do not keep the node from being cleaned', async (t) => {
  await using node = Inhabited.open();
  const { site } = node;
  const agent = await site.run();
  await node.serve();
  await agent.stop();
  const kubeconfig = join(site.directory, 'kubeconfig');
  const cluster = {
    clusters: [{ name: 'c', cluster: { server: 'https://127.0.0.1:1', 'insecure-skip-tls-verify': true } }],
    users: [{ name: 'u', user: {} }],
  };
  const contexts = [{ name: 'x', context: { cluster: 'c', user: 'u' } }];
  writeFileSync(kubeconfig, JSON.stringify({ ...cluster, contexts, 'current-context': 'x' }));

  const run = await node.uninstall('--pods', 'kubernetes', '--kubeconfig', kubeconfig);

  t.is(run.code, 1);
  t.regex(run.out, /^pods +left: .*ECONNREFUSED.*; run berth uninstall again when the pods can be read$/m);
  t.deepEqual(
    node.remains().filter((one) => !one.endsWith('.status')),
    [],
  );
});
