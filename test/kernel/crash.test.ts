/** kill -9 at every step of setting up, taking down and adopting, and what the next agent makes of it. */
import { once } from 'node:events';
import test, { type ExecutionContext } from 'ava';
import { type AgentProcess, CLIENT, NODE, Site, type StartOptions } from './agent.ts';
import type { Arm } from './crash.agent.ts';
import { type PodPlan, pod } from './manifest.ts';
import { Conversation } from './matrix/conversation.ts';
import { holding, installedIn, numbersOf, writtenIn } from './standing.ts';

const PROGRAM: StartOptions = { entry: 'test/kernel/crash.agent.ts', ipc: true };
const POOLS = ['default=20000-20999', 'blocks=21000-21002'];
/** JSON has no infinity: null disarms. */
const NEVER = Number.POSITIVE_INFINITY;

/** A pod of every kind. The block is asked for by its numbers, so its pod has the same name each time. */
function pods(site: Site, round: number): readonly PodPlan[] {
  const [tcp, udp, block, dual] = ['tcp', 'udp', 'block', 'dual'].map((name) => site.place(name).address);
  return [
    pod(`tcp-${round}`, { ports: [{ name: 'web', containerPort: 8080 }], podIPs: [tcp?.[4] ?? ''] }),
    pod(`udp-${round}`, {
      annotations: { 'berth.dev/ports': '', 'berth.dev/allow-from': CLIENT[4] },
      ports: [{ name: 'game', containerPort: 8080, protocol: 'UDP' }],
      podIPs: [udp?.[4] ?? ''],
    }),
    pod('block', {
      annotations: { 'berth.dev/ports': 'rtp=21000-21002/udp', 'berth.dev/pool': 'blocks' },
      podIPs: [block?.[4] ?? '', block?.[6] ?? ''],
    }),
    pod(`dual-${round}`, {
      ports: [
        { name: 'web', containerPort: 8080 },
        { name: 'web-udp', containerPort: 8080, protocol: 'UDP' },
      ],
      podIPs: [dual?.[4] ?? '', dual?.[6] ?? ''],
    }),
  ];
}

const PORTS_OF_PODS = 5;

/** A node with a server in the place of each kind of pod. */
function node(): Site {
  const site = new Site({ pools: POOLS });
  for (const name of ['tcp', 'udp', 'dual']) site.place(name, 8080);
  site.place('block', 21_000, 21_001, 21_002);
  return site;
}

async function arm(agent: AgentProcess, dieAt: number): Promise<void> {
  const armed = once(agent.child, 'message');
  agent.child.send({ dieAt } satisfies Arm);
  await armed;
}

/** Does something while the agent stands still, so that it sees all of it at once. */
function unseen(agent: AgentProcess, action: () => void): void {
  agent.child.kill('SIGSTOP');
  action();
  agent.child.kill('SIGCONT');
}

/** Arms the agent and does something. Resolves to the step at which it died; undefined when it came to the end of its work. */
async function dying(
  { site, agent, step }: { readonly site: Site; readonly agent: AgentProcess; readonly step: number },
  action: () => void,
  done: () => boolean | Promise<boolean>,
): Promise<string | undefined> {
  await arm(agent, step);
  unseen(agent, action);
  await site.until(async () => !agent.running || (await done()), 'the agent has died or has done its work');
  // It may die at this very moment: then nobody answers.
  if (agent.running) await Promise.race([agent.ended, arm(agent, NEVER).catch(() => agent.ended)]);
  return agent.running ? undefined : placeOf(agent);
}

/** The step at which it died, in its own last words. */
function placeOf(agent: AgentProcess): string {
  return String(agent.logged('dies')[0]?.at);
}

/** The host ports that got out before the agent died, as holdings: from rules, promises and announcements. */
function promised(site: Site, plans: readonly PodPlan[]): readonly string[] {
  const known = new Set(installedIn(site.elements()));
  for (const plan of plans) {
    const told = site.told(plan);
    for (const { name, protocol, hostPort } of JSON.parse(told?.annotations['berth.dev/mappings'] ?? '[]')) {
      if (name !== 'rtp') known.add(holding(plan.uid, name, protocol, hostPort));
    }
    for (const { name = '', protocol = 'TCP' } of plan.ports ?? []) {
      const number = told?.annotations[`port.berth.dev/${name}`];
      if (number !== undefined) known.add(holding(plan.uid, name, protocol, Number(number)));
    }
  }
  return [...known];
}

/** What must hold while no agent runs: each thing got out only after what has to stand before it (I2), and no port twice (I1). */
function checkOrder(t: ExecutionContext, site: Site, plans: readonly PodPlan[], at: string): void {
  const rules = installedIn(site.elements());
  const written = new Set(writtenIn(site.state()));
  t.deepEqual(
    promised(site, plans).filter((one) => !written.has(one)),
    [],
    `${at}: a rule or a promise stands that is not in the state file`,
  );
  for (const plan of plans) {
    const told = site.told(plan);
    if (told?.conditions[0]?.status !== 'True') continue;
    t.true(
      rules.some((rule) => rule.startsWith(plan.uid)),
      `${at}: ${plan.name} is announced without a rule`,
    );
  }
  const numbers = numbersOf([...new Set([...rules, ...written])]);
  t.is(new Set(numbers).size, numbers.length, `${at}: a number has two owners`);
}

async function checkTraffic(t: ExecutionContext, site: Site, holdings: readonly string[], at: string): Promise<void> {
  const portOf = (plan: string) => Number(/(\d+)-\d+$/.exec(holdings.find((one) => one.includes(plan)) ?? '')?.[1]);
  const answers = await Promise.all([
    site.ask(portOf('/web/'), { address: NODE[4] }),
    site.ask(portOf('/game/'), { protocol: 'UDP' }),
    site.ask(21_001, { protocol: 'UDP', address: NODE[6] }),
    site.ask(portOf('/web-udp/'), { address: NODE[6] }),
  ]);
  const [tcp, ...others] = answers;
  t.regex(tcp ?? '', /^(tcp|dual) sees 192.0.2.2$/, at);
  t.deepEqual(others, ['udp sees 192.0.2.2', `block sees ${CLIENT[6]}`, `dual sees ${CLIENT[6]}`], at);
}

test.serial(
  'I1, I2, I6: kill -9 at every step of set-up: the next agent completes it, and what was promised is kept',
  async (t) => {
    await using site = node();
    let agent = await site.run(PROGRAM);
    const steps: string[] = [];
    for (let step = 0; ; step++) {
      const plans = pods(site, step);
      // A client that is too early: its flow is tracked as it is, not translated, until somebody deletes it.
      using early = new Conversation(site.topology.client, { protocol: 'UDP', address: NODE[4], port: 21_002 });
      await early.ask(20);
      const done = () => plans.every((plan) => site.told(plan)?.conditions[0]?.status === 'True');
      const died = await dying({ site, agent, step }, () => site.declare(...plans), done);
      if (died === undefined) break;
      const at = `step ${step}, ${died}`;
      steps.push(died);
      checkOrder(t, site, plans, at);
      const kept = promised(site, plans);

      agent = await site.run(PROGRAM);
      await Promise.all(plans.map((plan) => site.mapped(plan)));
      const holdings = await site.agreed(agent, (all) => all.length === PORTS_OF_PODS);
      t.deepEqual(
        kept.filter((one) => !holdings.includes(one)),
        [],
        `${at}: a promised number was changed`,
      );
      await checkTraffic(t, site, holdings, at);
      t.is(await early.ask(), 'block sees 192.0.2.2', `${at}: the early client is not served`);
      unseen(agent, () => site.withdraw(...plans));
      await site.agreed(agent, (all) => all.length === 0);
    }
    const actions = new Set(steps.map((step) => step.replace(/^\w+ /, '')));
    t.log(`${steps.length} steps`);
    for (const action of [
      'reserver.reserve',
      'store.save',
      'publisher.publish',
      'datapath.apply',
      'flows.purge',
      'registry.set',
      'publisher.event',
    ]) {
      t.true(actions.has(action), `never died at ${action}: ${[...actions]}`);
    }
  },
);

test.serial(
  'I2, I7: kill -9 at every step of take-down: the next agent completes it, and nothing is left behind',
  async (t) => {
    await using site = node();
    let agent = await site.run(PROGRAM);
    const steps: string[] = [];
    const released = new Set<string>();
    for (let step = 0; ; step++) {
      const plans = pods(site, step);
      unseen(agent, () => site.declare(...plans));
      const holdings = await site.agreed(agent, (all) => all.length === PORTS_OF_PODS);
      const numbers = numbersOf(holdings);
      t.deepEqual(
        numbers.filter((number) => released.has(number)),
        [],
        `before step ${step}: a number was given before its rest was over`,
      );
      await checkTraffic(t, site, holdings, `before step ${step}`);

      const done = () => plans.every((plan) => site.told(plan) === undefined) && site.state().grants.length === 0;
      const died = await dying({ site, agent, step }, () => site.withdraw(...plans), done);
      if (died === undefined) break;
      const at = `step ${step}, ${died}`;
      steps.push(died);

      agent = await site.run(PROGRAM);
      await site.agreed(agent, (all) => all.length === 0);
      t.deepEqual(
        site.elements().filter(({ comment }) => comment !== ''),
        [],
        `${at}: an element is left`,
      );
      t.deepEqual(
        plans.map((plan) => site.told(plan)).filter((told) => told !== undefined),
        [],
        `${at}: something is still told`,
      );
      await site.until(() => tracked(site, numbers) === '', `${at}: no connection is tracked`);
      const rest = new Set(site.state().resting.map(({ protocol, hostPort }) => `${protocol}/${hostPort}`));
      for (const number of numbers.filter((one) => !/\/2100[12]$/.test(one)))
        t.true(rest.has(number), `${at}: ${number} does not rest`);
      for (const number of numbers.filter((one) => !/\/2100.$/.test(one))) released.add(number);
    }
    const actions = new Set(steps.map((step) => step.replace(/^\w+ /, '')));
    t.log(`${steps.length} steps`);
    for (const action of [
      'registry.delete',
      'datapath.apply',
      'flows.purge',
      'reserver.release',
      'publisher.forget',
      'store.save',
    ]) {
      t.true(actions.has(action), `never died at ${action}: ${[...actions]}`);
    }
  },
);

/** The translated connections to these host ports. */
function tracked(site: Site, numbers: readonly string[]): string {
  const all = site.node.run('conntrack', ['-L', '--dst-nat']);
  return all
    .split('\n')
    .filter((line) => numbers.some((number) => line.includes(` dport=${number.split('/')[1]} `)))
    .join('\n');
}

test.serial('I6: kill -9 at every step of adoption: no rule is touched, no number is changed', async (t) => {
  await using site = node();
  let agent = await site.run(PROGRAM);
  const plans = pods(site, 0);
  site.declare(...plans);
  const holdings = await site.agreed(agent, (all) => all.length === PORTS_OF_PODS);
  await Promise.all(plans.map((plan) => site.mapped(plan)));
  const elements = site.elements();
  const told = plans.map((plan) => site.told(plan)?.annotations);
  const steps: string[] = [];
  for (let step = 0; ; step++) {
    await agent.stop();
    agent = await site.start({ ...PROGRAM, env: { DIE_AT: String(step) } });
    const started = agent;
    await site.until(
      async () => !started.running || (await site.ready()).status === 200,
      'the agent has died or is ready',
    );
    if (agent.running) await Promise.race([agent.ended, arm(agent, NEVER).catch(() => started.ended)]);
    const at = agent.running ? 'at the end' : placeOf(agent);
    t.deepEqual(site.elements(), elements, at);
    t.deepEqual(
      plans.map((plan) => site.told(plan)?.annotations),
      told,
      at,
    );
    await checkTraffic(t, site, holdings, at);
    if (agent.running) break;
    steps.push(at);
  }
  t.deepEqual(await site.agreed(agent), holdings);
  const actions = new Set(steps.map((step) => step.replace(/^\w+ /, '')));
  t.log(`${steps.length} steps`);
  for (const action of ['reserver.reserve', 'flows.purge', 'registry.set'])
    t.true(actions.has(action), `never died at ${action}: ${[...actions]}`);
});
