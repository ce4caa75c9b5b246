/**
 * The demonstration: Berth on a small node made of network namespaces, with real servers in the pods. Every step checks
 * what it shows; the exit code is 0 only when all of them held. KEEP=1 leaves everything running.
 */
import type { ChildProcess } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { openSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { downloadOf } from './download.ts';
import { Narrator } from './narrator.ts';
import { CLIENT_IP, NODE_IP, type PodPlan, Scene } from './scene.ts';

interface Listed {
  readonly pod: string;
  readonly name: string;
  readonly protocol: string;
  readonly hostPort: number;
}

const ONE: PodPlan = { name: 'one', uid: '11111111-1111-4111-8111-111111111111', ip: '10.90.1.11' };
const TWO: PodPlan = { name: 'two', uid: '22222222-2222-4222-8222-222222222222', ip: '10.90.1.12' };
const NEW_ONE: PodPlan = { name: 'one', uid: '33333333-3333-4333-8333-333333333333', ip: '10.90.1.12' };

const narrator = new Narrator();

/** Asks again until the answer satisfies; the last failure when it does not within thirty seconds. */
async function eventually<T>(ask: () => Promise<T>, good: (answer: T) => boolean, what: string): Promise<T> {
  const end = performance.now() + 30_000;
  let last: unknown = 'no answer';
  while (performance.now() < end) {
    try {
      const answer = await ask();
      if (good(answer)) return answer;
      last = answer;
    } catch (error) {
      last = error;
    }
    await setTimeout(10);
  }
  throw new Error(
    `${what}: not within 30 s; last seen: ${last instanceof Error ? last.message : JSON.stringify(last)}`,
  );
}

async function mappings(scene: Scene): Promise<readonly Listed[]> {
  const answer: { mappings: Listed[] } = JSON.parse(await scene.berth('list', '--output', 'json'));
  return answer.mappings;
}

function portOf(list: readonly Listed[], pod: string, name: string): number {
  return list.find((one) => one.pod === pod && one.name === name)?.hostPort ?? 0;
}

async function startAgent(scene: Scene): Promise<ChildProcess> {
  const agent = scene.startAgent(openSync(join(scene.directory, 'agent.log'), 'a'));
  await eventually(
    () => scene.berth('list'),
    () => agent.exitCode === null,
    'the agent answers',
  );
  return agent;
}

async function demonstrate(scene: Scene, keep: boolean): Promise<void> {
  const log = join(scene.directory, 'agent.log');

  narrator.step('A node, two pods behind its bridge, a client outside');
  narrator.say(`client ${CLIENT_IP} -- node ${NODE_IP}, bridge 10.90.1.1 -- pods ${ONE.ip} and ${TWO.ip}`);
  const servers = [await scene.serve(ONE), await scene.serve(TWO)];
  narrator.say('in each pod: HTTP on 8080 and UDP on 9000, real servers');

  narrator.step('The agent starts, and the pods opt in with one annotation: berth.dev/ports: ""');
  let agent = await startAgent(scene);
  narrator.command(`berth ${scene.agentArguments.join(' ')}`);
  scene.declare(ONE);
  scene.declare(TWO);
  const list = await eventually(
    () => mappings(scene),
    (all) => all.length === 4,
    'four mappings are live',
  );
  narrator.command('berth list');
  narrator.output(await scene.berth('list'));
  const web = portOf(list, 'one', 'web');
  const game = portOf(list, 'one', 'game');
  narrator.holds(
    new Set(list.map(({ hostPort, protocol }) => `${hostPort}/${protocol}`)).size === 4,
    'each port got a host port of its own',
    JSON.stringify(list),
  );

  narrator.step('The client reaches each pod, and each pod sees the client itself');
  for (const { name } of [ONE, TWO]) {
    const port = portOf(list, name, 'web');
    const answer = await scene.curl(port);
    narrator.command(`curl http://${NODE_IP}:${port}/`);
    narrator.output(answer);
    narrator.holds(
      answer === `pod ${name} sees ${CLIENT_IP}\n`,
      `pod ${name} answered and saw the client's own address`,
      answer,
    );
  }
  using udp = scene.udpClient();
  const heard = await udp.ask(game, 'hello');
  narrator.command(`echo hello | nc -u ${NODE_IP} ${game}`);
  narrator.output(heard);
  narrator.holds(heard === `pod one sees ${CLIENT_IP}, heard hello`, 'UDP too', heard);

  narrator.step('A held port is refused to every other process of the node');
  narrator.command(`nc -l ${web}`);
  const taken = await tryListen(scene, web);
  narrator.output(taken);
  narrator.holds(
    taken.includes('EADDRINUSE'),
    'the kernel refuses it: the agent holds the port with a bound socket',
    taken,
  );

  narrator.step('kill -9 of the agent, with a download running through it');
  const download = scene.curl(web, '/download');
  await setTimeout(300);
  agent.kill('SIGKILL');
  await once(agent, 'exit');
  narrator.command(`kill -9 ${agent.pid}`);
  const without = await scene.curl(web);
  narrator.holds(
    without === `pod one sees ${CLIENT_IP}\n`,
    'with no agent at all, new connections are served',
    without,
  );
  agent = await startAgent(scene);
  const again = await eventually(
    () => mappings(scene),
    (all) => all.length === 4,
    'the new agent knows all mappings',
  );
  narrator.holds(
    again.every((one) => portOf(list, one.pod, one.name) === one.hostPort),
    'the next agent adopted the rules: every port number is the same',
    JSON.stringify(again),
  );
  const body = Buffer.from(await download, 'latin1');
  const served = downloadOf('one');
  narrator.holds(
    checksum(body) === checksum(served),
    `the download went on undisturbed (${(body.length / 2 ** 20).toFixed(0)} MiB, checksum right)`,
    `${body.length} bytes with checksum ${checksum(body)}, not ${served.length} with ${checksum(served)}`,
  );

  narrator.step('Somebody flushes the whole ruleset');
  narrator.command('nft flush ruleset');
  scene.node.run('/usr/sbin/nft', ['flush', 'ruleset']);
  const flushed = performance.now();
  await eventually(
    () => scene.curl(web),
    (answer) => answer === `pod one sees ${CLIENT_IP}\n`,
    'the rules are back',
  );
  narrator.holds(true, `healed: the client is served again ${Math.round(performance.now() - flushed)} ms later`, '');

  narrator.step('Pod "one" is replaced: same name, new pod, new address. Its UDP client goes on with the same socket');
  const before = await udp.ask(game, 'still there?');
  narrator.output(before);
  servers[0]?.kill('SIGKILL');
  servers[1]?.kill('SIGKILL');
  scene.withdraw('two');
  await eventually(
    () => mappings(scene),
    (all) => all.length === 2,
    'pod two is gone',
  );
  servers[0] = await scene.serve(NEW_ONE);
  const announced = await scene.announcement('game', `${NEW_ONE.ip}:9000`, () => scene.declare(NEW_ONE));
  // Once, and not again: nothing may stand in the way any more.
  const asked = performance.now();
  const moved = await udp.ask(game, 'hello again');
  const answered = performance.now();
  narrator.output(moved);
  const after = await mappings(scene);
  narrator.holds(
    moved === `pod one sees ${CLIENT_IP}, heard hello again`,
    `the new pod answered the old flow's first packet, sent ${(asked - announced).toFixed(1)} ms after its mapping was announced, within ${(answered - asked).toFixed(1)} ms: the stale connection tracking entry was deleted`,
    moved,
  );
  narrator.holds(
    portOf(after, 'one', 'game') === game,
    'and it kept the port number of its predecessor',
    JSON.stringify(after),
  );

  if (keep) return leaveRunning(scene, web, log);

  narrator.step('The end: the pods go, nothing stays');
  scene.withdraw('one');
  await eventually(
    () => mappings(scene),
    (all) => all.length === 0,
    'every mapping is released',
  );
  const rules = scene.node.run('/usr/sbin/nft', ['list', 'table', 'inet', 'berth']);
  narrator.holds(!rules.includes('11111111') && !rules.includes('33333333'), 'no rule is left', rules);
  const flows = scene.node.run('/usr/sbin/conntrack', ['-L', '-p', 'udp', '--orig-port-dst', String(game)]);
  narrator.holds(flows.trim() === '', 'no tracked connection is left', flows);
  const free = await tryListen(scene, web);
  narrator.holds(free.includes('listening'), `port ${web} is free again`, free);
  agent.kill('SIGTERM');
  const [code] = await once(agent, 'exit');
  narrator.holds(code === 0, 'the agent ended by itself, with exit code 0', `${code}\n${readFileSync(log, 'utf8')}`);
}

function checksum(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

async function tryListen(scene: Scene, port: number): Promise<string> {
  const script = `const s = require('node:net').createServer(); s.on('error', (e) => console.log(e.code)); s.listen(${port}, () => { console.log('listening'); s.close(); });`;
  return scene.node.run(process.execPath, ['-e', script]).trim();
}

function leaveRunning(scene: Scene, web: number, log: string): void {
  narrator.step('Left running, as asked. To try:');
  const cli = new URL('../../daemon/cli.ts', import.meta.url).pathname;
  const berth = `${process.execPath} ${cli}`;
  narrator.command(`${berth} list --socket ${scene.socket}`);
  narrator.command(`ip netns exec ${scene.client.name} curl http://${NODE_IP}:${web}/`);
  narrator.command(`ip netns exec ${scene.node.name} nft list table inet berth`);
  narrator.command(`$EDITOR ${scene.pods}/one.json    # change its annotations`);
  narrator.command(`tail -f ${log}`);
  narrator.say('Ctrl-C ends it and removes everything.');
}

const keep = process.env.KEEP === '1';
const interrupted = Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
using scene = new Scene();
try {
  await demonstrate(scene, keep);
  if (keep) await interrupted;
  console.log(`\n${narrator.held} checks held. Removing the namespaces.`);
} catch (error) {
  process.exitCode = 1;
  console.error(`\n✘ ${error instanceof Error ? error.message : String(error)}`);
  if (statSync(join(scene.directory, 'agent.log'), { throwIfNoEntry: false })) {
    console.error(`\nthe agent's log:\n${readFileSync(join(scene.directory, 'agent.log'), 'utf8')}`);
  }
}
