/** What a pod goes through while the agent runs: addresses, names, annotations, phases, pools. */
import { randomUUID } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import { NODE, Site } from './agent.ts';
import { type PodPlan, podAt } from './manifest.ts';
import { Conversation } from './matrix/conversation.ts';

function replaced(plan: PodPlan, changes: Partial<PodPlan>): PodPlan {
  return { ...plan, ...changes };
}

test.serial('a pod whose address changes keeps its number: new connections go to the new address', async (t) => {
  await using site = new Site();
  for (const name of ['one', 'two']) site.place(name, 8080);
  const agent = await site.run();
  const before = podAt(site.topology.place('one'));
  site.declare(before);
  const ports = await site.mapped(before);
  const port = ports.get('web/TCP') ?? 0;
  using talk = new Conversation(site.topology.client, { protocol: 'UDP', address: NODE[4], port });
  t.is(await talk.ask(), 'one sees 192.0.2.2');

  const two = site.topology.place('two').address;
  const after = replaced(before, { podIPs: [two[4], two[6]] });
  site.declare(after);
  await site.answers(port, 'two sees 192.0.2.2');
  await site.answers(port, 'two sees 2001:db8:1::2', { protocol: 'UDP', address: NODE[6] });
  await site.until(async () => (await talk.ask(200)) === 'two sees 192.0.2.2', 'the flow of UDP follows');
  t.deepEqual(await site.mapped(after), ports);
  await site.agreed(agent, (all) => all.length === 2);

  site.declare(replaced(before, { podIPs: [] }));
  await site.answers(port, 'ECONNREFUSED');
  t.regex(await site.refused(after, 'PodIPPending'), /the host ports are reserved/);
  site.declare(before);
  await site.answers(port, 'one sees 192.0.2.2');
});

test.serial(
  'an address that a newer pod has is not served for the older pod any more, whichever is seen first',
  async (t) => {
    await using site = new Site();
    site.place('place', 8080);
    await site.run();
    const older = podAt(site.topology.place('place'), { name: 'older', createdAt: 1_700_000_000_000 });
    const newer = podAt(site.topology.place('place'), { name: 'newer', createdAt: 1_700_000_001_000 });
    site.declare(older);
    const olderPort = (await site.mapped(older)).get('web/TCP') ?? 0;
    site.declare(replaced(older, { terminating: true }));
    await site.answers(olderPort, 'place sees 192.0.2.2');

    site.declare(newer);
    const newerPort = (await site.mapped(newer)).get('web/TCP') ?? 0;
    await site.answers(newerPort, 'place sees 192.0.2.2');
    t.is(await site.ask(olderPort), 'ECONNREFUSED');
    t.regex(await site.refused(older, 'InvalidPodIP'), /its address now belongs to the newer pod default\/newer/);
    t.not(olderPort, newerPort);

    site.withdraw(newer);
    await site.answers(olderPort, 'place sees 192.0.2.2');

    const newest = podAt(site.topology.place('place'), { name: 'newest', createdAt: 1_700_000_003_000 });
    const late = podAt(site.topology.place('place'), { name: 'late', createdAt: 1_700_000_002_000 });
    site.declare(newest);
    await site.mapped(newest);
    site.declare(late);
    t.regex(await site.refused(late, 'InvalidPodIP'), /its address now belongs to the newer pod default\/newest/);
    t.is(site.told(newest)?.conditions[0]?.status, 'True');
  },
);

test.serial('a pod that is replaced under its name keeps its numbers, at once or after a while', async (t) => {
  await using site = new Site();
  for (const name of ['one', 'two']) site.place(name, 8080);
  const agent = await site.run();
  const first = podAt(site.topology.place('one'), { name: 'db-0' });
  site.declare(first);
  const ports = await site.mapped(first);

  const second = podAt(site.topology.place('two'), { name: 'db-0' });
  site.declare(second);
  t.deepEqual(await site.mapped(second), ports);
  t.is(await site.ask(ports.get('web/TCP') ?? 0), 'two sees 192.0.2.2');
  t.is(site.told(first), undefined);

  site.withdraw(second);
  await site.agreed(agent, (all) => all.length === 0);
  const others = ['a', 'b', 'c'].map((name) => podAt(site.topology.place('one'), { name }));
  for (const other of others) {
    site.declare(other);
    t.not((await site.mapped(other)).get('web/TCP'), ports.get('web/TCP'), 'it rests for others');
    site.withdraw(other);
    await site.agreed(agent, (all) => all.length === 0);
  }
  const third = podAt(site.topology.place('one'), { name: 'db-0' });
  site.declare(third);
  t.deepEqual(await site.mapped(third), ports);
  t.is(await site.ask(ports.get('web/TCP') ?? 0), 'one sees 192.0.2.2');
});

test.serial(
  'an annotation that is added, changed, made invalid, put right and removed takes effect each time',
  async (t) => {
    await using site = new Site();
    site.place('one', 8080);
    const agent = await site.run();
    const plain = podAt(site.topology.place('one'), { annotations: {} });
    const neighbour = podAt(site.topology.place('one'), {
      name: 'neighbour',
      podIPs: [site.place('two', 8080).address[4]],
    });
    site.declare(plain, neighbour);
    const neighbourPort = (await site.mapped(neighbour)).get('web/TCP') ?? 0;
    t.is(site.told(plain), undefined);

    const all = replaced(plain, { annotations: { 'berth.dev/ports': '' } });
    site.declare(all);
    const port = (await site.mapped(all)).get('web/TCP') ?? 0;
    t.is(await site.ask(port, { protocol: 'UDP' }), 'one sees 192.0.2.2');

    site.declare(replaced(all, { annotations: { 'berth.dev/ports': 'web' } }));
    await site.agreed(agent, (holdings) => holdings.filter((one) => one.startsWith(plain.uid)).length === 1);
    t.is(await site.ask(port), 'one sees 192.0.2.2');
    t.is(await site.ask(port, { protocol: 'UDP' }), 'ECONNREFUSED');

    site.declare(
      replaced(all, { annotations: { 'berth.dev/ports': 'web', 'berth.dev/allow-from': '203.0.113.0/24' } }),
    );
    await site.answers(port, 'ECONNREFUSED');
    site.declare(replaced(all, { annotations: { 'berth.dev/ports': 'web', 'berth.dev/allow-from': '192.0.2.0/24' } }));
    await site.answers(port, 'one sees 192.0.2.2');

    const wrong = replaced(all, { annotations: { 'berth.dev/ports': 'web, webb' } });
    site.declare(wrong);
    t.regex(await site.refused(wrong, 'InvalidPortRequest'), /berth\.dev\/ports, item 2, column 6: "webb" /);
    await site.answers(port, 'ECONNREFUSED');
    t.is(site.told(wrong)?.annotations['berth.dev/mappings'], undefined);
    t.true(site.told(wrong)?.events.some(({ reason }) => reason === 'InvalidPortRequest'));

    site.declare(all);
    await site.answers(port, 'one sees 192.0.2.2');
    t.is((await site.mapped(all)).get('web/TCP'), port);

    site.declare(plain);
    await site.agreed(agent, (holdings) => holdings.every((one) => !one.startsWith(plain.uid)));
    await site.until(
      () => site.told(plain) === undefined || site.told(plain)?.conditions.length === 0,
      'nothing is told',
    );
    t.deepEqual(site.told(plain)?.annotations ?? {}, {});
    t.is(await site.ask(port), 'ECONNREFUSED');
    t.is(await site.ask(neighbourPort), 'two sees 192.0.2.2');
  },
);

test.serial('an annotation that is edited without a pause ends as it was written last', async (t) => {
  await using site = new Site();
  const plan = podAt(site.place('one', 8080));
  const agent = await site.run();
  for (let round = 0; round < 200; round++) {
    const wish = ['web', 'web, game', 'webb', '', 'game, x=3/udp'][round % 5] ?? '';
    site.declare(replaced(plan, { annotations: { 'berth.dev/ports': wish } }));
  }
  site.declare(replaced(plan, { annotations: { 'berth.dev/ports': 'web, game, last=same' } }));
  await site.agreed(agent, (all) => all.length === 3 && all.some((one) => one.includes('/last/')));
  await site.until(() => site.told(plan)?.annotations['port.berth.dev/last'] !== undefined, 'the last one is told');
  const port = (await site.mapped(plan)).get('web/TCP') ?? 0;
  t.is(await site.ask(port), 'one sees 192.0.2.2');
  t.is(await site.ask(port, { protocol: 'UDP' }), 'one sees 192.0.2.2');
});

test.serial(
  'a terminating pod is served until all its containers have ended; one that succeeded or failed is not',
  async (t) => {
    await using site = new Site();
    const names = ['terminating', 'succeeded', 'failed'];
    for (const name of names) site.place(name, 8080);
    const agent = await site.run();
    const [terminating, succeeded, failed] = names.map((name) => podAt(site.topology.place(name))) as [
      PodPlan,
      PodPlan,
      PodPlan,
    ];
    site.declare(terminating, succeeded, failed);
    const portOf = async (plan: PodPlan) => (await site.mapped(plan)).get('web/TCP') ?? 0;
    const port = await portOf(terminating);
    const others = [await portOf(succeeded), await portOf(failed)];

    site.declare(replaced(terminating, { terminating: true }));
    site.declare(
      replaced(succeeded, { phase: 'Succeeded', ended: true }),
      replaced(failed, { phase: 'Failed', ended: true }),
    );
    for (const other of others) await site.answers(other, 'ECONNREFUSED');
    await site.agreed(agent, (all) => all.length === 2);
    t.is(await site.ask(port), 'terminating sees 192.0.2.2');
    t.is(site.told(terminating)?.conditions[0]?.status, 'True');

    site.declare(replaced(terminating, { terminating: true, ended: true }));
    await site.answers(port, 'ECONNREFUSED');
    await site.agreed(agent, (all) => all.length === 0);
  },
);

test.serial('a host-ip that the node lacks is a problem that heals when the address appears, and again', async (t) => {
  await using site = new Site();
  site.place('one', 8080);
  const agent = await site.run();
  const plan = podAt(site.topology.place('one'), {
    annotations: { 'berth.dev/ports': '', 'berth.dev/host-ip': '192.0.2.9' },
  });
  site.declare(plan);
  t.regex(
    await site.refused(plan, 'HostIPNotFound'),
    /berth\.dev\/host-ip: the node has no address 192\.0\.2\.9; it has .*192\.0\.2\.1/,
  );

  site.node.address('eth0', '192.0.2.9/24');
  const ports = await site.mapped(plan);
  const port = ports.get('web/TCP') ?? 0;
  await site.answers(port, 'one sees 192.0.2.2', { address: '192.0.2.9' });
  t.is(await site.ask(port), 'ECONNREFUSED');

  site.node.ip('addr del 192.0.2.9/24 dev eth0');
  await site.refused(plan, 'HostIPNotFound');
  await site.until(() => site.elements().every(({ comment }) => comment === ''), 'no rule stands');

  site.node.address('eth0', '192.0.2.9/24');
  t.deepEqual(await site.mapped(plan), ports, 'the number was kept');
  await site.answers(port, 'one sees 192.0.2.2', { address: '192.0.2.9' });
  await site.agreed(agent, (all) => all.length === 2);
});

test.serial(
  'pools that change under live mappings: what is live stays, also over a restart; what is new follows',
  async (t) => {
    await using site = new Site({ pools: [] });
    site.place('one', 8080);
    const file = join(site.directory, 'pools.yaml');
    const write = (text: string) => {
      writeFileSync(`${file}.new`, text);
      renameSync(`${file}.new`, file);
    };
    const flags = ['--pools-file', file];
    write('pools: [{ name: default, ranges: 20000-20009 }]\n');
    let agent = await site.run({ flags });
    const old = podAt(site.topology.place('one'), { name: 'old' });
    site.declare(old);
    const port = (await site.mapped(old)).get('web/TCP') ?? 0;
    const fresh = async (name: string) => {
      const plan = podAt(site.topology.place('one'), { name, podIPs: ['10.244.0.99'] });
      site.declare(plan);
      return plan;
    };
    const isServed = async () => {
      t.is(await site.ask(port), 'one sees 192.0.2.2');
      t.is(site.told(old)?.conditions[0]?.status, 'True');
      t.true((await site.list()).some(({ podUID, hostPort }) => podUID === old.uid && hostPort === port));
    };

    write('pools: [{ name: default, ranges: 21000-21009 }]\n');
    let number = 0;
    for (let round = 0; number < 21_000; round++) {
      // The file is noticed at its own time: pods that come before still get a number of the old range.
      const plan = await fresh(`new-${round}`);
      number = (await site.mapped(plan)).get('web/TCP') ?? 0;
      site.withdraw(plan);
    }
    await isServed();

    for (const [bad, message] of [
      ['pools: [{ name: default, ranges: 30000-30009 }]\n', /30000/],
      ['pools: [\n', /pools\.yaml/],
      ['pools: [{ name: default, ranges: 21000-21009, colour: red }]\n', /colour/],
    ] as const) {
      write(bad);
      await site.until(
        () => agent.logged('failure').some((line) => message.test(JSON.stringify(line))),
        `refused: ${bad}`,
      );
      const plan = await fresh(`still-${randomUUID().slice(0, 8)}`);
      t.true(((await site.mapped(plan)).get('web/TCP') ?? 0) >= 21_000, 'the last good pools are in force');
      site.withdraw(plan);
    }
    await isServed();

    write('pools: [{ name: games, ranges: 22000-22009, namespaces: [games] }]\n');
    let refusal = '';
    for (let round = 0; refusal === ''; round++) {
      const plan = await fresh(`none-${round}`);
      await site.until(() => site.told(plan)?.conditions[0] !== undefined, 'it is told something');
      const [condition] = site.told(plan)?.conditions ?? [];
      if (condition?.reason === 'InvalidPortRequest') refusal = condition.message;
      site.withdraw(plan);
    }
    t.regex(refusal, /there is no pool "default" on this node; set berth\.dev\/pool to one of: games/);
    await isServed();

    await agent.stop();
    agent = await site.run({ flags });
    await isServed();
    site.withdraw(old);
    await site.agreed(agent, (all) => all.length === 0);
  },
);
