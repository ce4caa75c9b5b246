/** Numbers that others have: another process of the node, or a pod with a static hostPort. */
import test from 'ava';
import { Site } from './agent.ts';
import { heldSockets } from './heldsockets.ts';
import { pod } from './manifest.ts';
import { OtherProcess } from './otherprocess.ts';

const WEB = [{ name: 'web', containerPort: 8080 }] as const;

test.serial(
  'a number that another process holds is passed over, nothing is said to be wrong, and it is given once it is free',
  async (t) => {
    await using site = new Site({ pools: ['default=20000-20001'] });
    await using other = site.node.enter(() => new OtherProcess());
    t.deepEqual(await other.try({ protocol: 'TCP', address: '0.0.0.0', port: 20_000, listen: true, keep: true }), {
      got: 20_000,
    });
    const [one, two] = ['one', 'two'].map((name) =>
      pod(name, { ports: WEB, podIPs: [site.place(name, 8080).address[4]] }),
    ) as [ReturnType<typeof pod>, ReturnType<typeof pod>];
    const agent = await site.run();

    site.declare(one);
    t.is((await site.mapped(one)).get('web/TCP'), 20_001);
    t.deepEqual(
      site.told(one)?.events.map(({ reason }) => reason),
      ['PortsMapped'],
    );
    for (const event of ['problem', 'conflict', 'failure']) t.deepEqual(agent.logged(event), []);
    t.is(await site.ask(20_001), 'one sees 192.0.2.2');

    site.declare(two);
    t.regex(await site.refused(two, 'PoolExhausted'), /no free host port in pool "default" \(20000-20001\)/);
    await other.drop();
    t.is((await site.mapped(two)).get('web/TCP'), 20_000);
    t.is(await site.ask(20_000), 'two sees 192.0.2.2');
  },
);

test.serial(
  'I6: a number that a process took while no agent ran: the mapping stays, PortConflict is told, and it is held once it is free',
  async (t) => {
    await using site = new Site();
    const place = site.place('one', 8080);
    await using other = site.node.enter(() => new OtherProcess());
    const one = pod('one', { ports: WEB, podIPs: [place.address[4]] });
    const before = await site.run();
    site.declare(one);
    const port = (await site.mapped(one)).get('web/TCP') ?? 0;
    await before.stop();
    t.deepEqual(await other.try({ protocol: 'TCP', address: '::', port, listen: true, keep: true }), { got: port });

    const agent = await site.run();
    await site.until(() => conflicts(site, one).length > 0, 'the conflict is told');
    const [conflict] = conflicts(site, one);
    t.regex(
      conflict?.message ?? '',
      new RegExp(
        `another process on the node holds host port ${port}/TCP .*the mapping stays and the reservation is tried again`,
      ),
    );
    t.is(site.told(one)?.conditions[0]?.status, 'True');
    t.deepEqual(
      (await site.list()).map(({ hostPort }) => hostPort),
      [port],
    );
    t.is(await site.ask(port), 'one sees 192.0.2.2');
    t.is(await site.metric('berth_conflicts_total'), 1);
    t.deepEqual(heldSockets(agent.pid), []);

    await other.drop();
    await site.until(() => heldSockets(agent.pid).includes(`TCP/${port}`), 'the number is held');
    t.deepEqual(await other.try({ protocol: 'TCP', address: '::', port }), { refused: 'EADDRINUSE' });
    t.deepEqual(
      conflicts(site, one).map(({ count }) => count),
      [1],
      'once, however often it was tried',
    );
    t.is(await site.ask(port), 'one sees 192.0.2.2');
  },
);

test.serial(
  'a static hostPort on a number that is given: PortConflict on both pods, and the mapping stays',
  async (t) => {
    await using site = new Site();
    const place = site.place('one', 8080);
    const one = pod('one', { ports: WEB, podIPs: [place.address[4]] });
    await site.run();
    site.declare(one);
    const port = (await site.mapped(one)).get('web/TCP') ?? 0;

    const fixed = pod('fixed', {
      annotations: {},
      ports: [{ name: 'web', containerPort: 80, hostPort: port }],
      podIPs: [place.address[4].replace(/11$/, '99')],
    });
    site.declare(fixed);
    await site.until(() => conflicts(site, one).length > 0 && conflicts(site, fixed).length > 0, 'both are told');
    for (const plan of [one, fixed]) {
      t.regex(
        conflicts(site, plan)[0]?.message ?? '',
        new RegExp(
          `host port ${port}/TCP is given to pod default/one .* pod default/fixed names it as a static hostPort`,
        ),
      );
    }
    t.is(await site.ask(port), 'one sees 192.0.2.2');

    // What is told does not pile up with the passes.
    for (const name of ['x', 'y', 'z']) {
      const other = pod(name, { ports: WEB, podIPs: [place.address[4].replace(/11$/, '50')] });
      site.declare(other);
      await site.mapped(other);
      site.withdraw(other);
      await site.until(() => site.told(other) === undefined, `${name} is gone`);
    }
    t.deepEqual(
      conflicts(site, one).map(({ count }) => count),
      [1],
    );
  },
);

test.serial('a number that a pod names as its static hostPort is never given out', async (t) => {
  await using site = new Site({ pools: ['default=20000-20003'] });
  const fixed = pod('fixed', {
    annotations: {},
    ports: [20_000, 20_001, 20_003].map((hostPort) => ({ containerPort: hostPort, hostPort })),
    podIPs: ['10.244.0.99'],
  });
  const one = pod('one', { ports: WEB, podIPs: [site.place('one', 8080).address[4]] });
  site.declare(fixed, one);
  await site.run();
  t.is((await site.mapped(one)).get('web/TCP'), 20_002);
  t.deepEqual(conflicts(site, fixed), []);
});

function conflicts(site: Site, plan: ReturnType<typeof pod>) {
  return (site.told(plan)?.events ?? []).filter(({ reason }) => reason === 'PortConflict');
}
