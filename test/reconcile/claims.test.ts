/** Ports whose number is known beforehand: from the annotation to the rule, and what is told while there is none. */
import test from 'ava';
import { withoutClaims } from './claimworlds.ts';
import { claimant, poolOf, Rig, server } from './rig.ts';

const CLAIM = 25_565;

/** A node with the claim games/lobby bound, unless the test says otherwise. */
async function rigOf(change: (rig: Rig) => void = () => {}): Promise<Rig> {
  const rig = new Rig();
  rig.claims.bind('games', 'lobby', CLAIM);
  change(rig);
  await rig.start();
  return rig;
}

test('a claimed port gets the number of its claim, and the pod is told', async (t) => {
  const rig = await rigOf();
  const pod = claimant(1);
  await rig.set(pod);
  t.deepEqual(rig.rules(), [`tcp . ${CLAIM} : 10.0.0.1 . 80`]);
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`]);
  t.is(rig.told(pod)?.annotations['port.berth.dev/web'], String(CLAIM));
  t.is(rig.reason(pod), 'PortsMapped');
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: CLAIM }]);
});

test('TCP and UDP of one claim have its one number, beside a port from the pool', async (t) => {
  const rig = await rigOf();
  const annotations = { 'claim.berth.dev/play': 'lobby', 'berth.dev/ports': 'play=same/tcp+udp, web' };
  const pod = server(1, { annotations });
  await rig.set(pod);
  t.deepEqual(rig.live(), [`server-1/play TCP ${CLAIM}`, `server-1/play UDP ${CLAIM}`, 'server-1/web TCP 20000']);
  t.is(rig.reason(pod), 'PortsMapped');
});

test("a StatefulSet's pod has the claim that is called after port and pod", async (t) => {
  const rig = await rigOf(({ claims }) => claims.bind('games', 'web-server-1', 25_566));
  const pod = server(1, { annotations: { 'claim-template.berth.dev/web': 'public' }, stateful: true });
  await rig.set(pod);
  t.deepEqual(rig.live(), ['server-1/web TCP 25566']);
});

test('only claims that pods name are asked for, and of a pod that is gone no more', async (t) => {
  const rig = await rigOf();
  await rig.set(server(1));
  t.deepEqual(rig.claims.gets, []);
  const pod = claimant(2, {}, 'other');
  await rig.set(pod);
  await rig.delete(pod);
  const asked = rig.claims.gets.length;
  await rig.advance(600_000);
  t.is(rig.claims.gets.length, asked);
});

test('a claim without a number: the pod waits with the reason of the claim, nothing of it is mapped, and then all of it', async (t) => {
  const rig = await rigOf(({ claims }) => claims.unbind('games', 'lobby', 'class "public" has no free port'));
  const pod = server(1, { annotations: { 'claim.berth.dev/web': 'lobby', 'berth.dev/ports': 'web, 9000' } });
  const other = server(2);
  await rig.set(pod, other);
  t.is(rig.reason(pod), 'ClaimPending');
  t.regex(
    rig.told(pod)?.condition?.message ?? '',
    /claim "games\/lobby" has no host port yet: class "public" has no free port/,
  );
  t.deepEqual(rig.live(), ['server-2/web TCP 20000'], 'the port from the pool waits too, another pod does not');
  t.deepEqual(rig.said(pod), ['ClaimPending']);

  rig.claims.bind('games', 'lobby', CLAIM);
  await rig.advance(60_000);
  t.deepEqual(rig.live(), ['server-1/9000-tcp TCP 20001', `server-1/web TCP ${CLAIM}`, 'server-2/web TCP 20000']);
  t.is(rig.reason(pod), 'PortsMapped');
});

test('it is asked for again after 1 s and more, at least every 30 s, and not more often', async (t) => {
  const rig = await rigOf(({ claims }) => claims.unbind('games', 'lobby', 'not yet'));
  rig.random = () => 0.5;
  await rig.set(claimant(1));
  t.is(rig.claims.gets.length, 1);
  await rig.advance(900);
  t.is(rig.claims.gets.length, 1);
  await rig.advance(1_200);
  t.is(rig.claims.gets.length, 2);
  await rig.advance(300_000);
  const before = rig.claims.gets.length;
  t.true(before < 30);
  await rig.advance(300_000);
  const calls = rig.claims.gets.length - before;
  t.true(calls >= 10 && calls <= 20, `${calls} in 300 s`);
});

test('a pod that comes while its claim is waited for makes it be asked for at once', async (t) => {
  const rig = await rigOf(({ claims }) => claims.unbind('games', 'lobby', 'not yet'));
  await rig.set(claimant(1));
  await rig.advance(200_000);
  rig.claims.bind('games', 'lobby', CLAIM);
  await rig.set(claimant(2));
  await rig.advance(1);
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`]);
});

test('an API server that does not answer holds nobody else up, and its error is told', async (t) => {
  const rig = await rigOf(({ claims }) => {
    claims.slow = true;
  });
  const pod = claimant(1);
  await rig.set(pod, server(2));
  t.deepEqual(rig.live(), ['server-2/web TCP 20000']);
  t.is(rig.reason(pod), 'PortsPending');
  rig.claims.fail();
  rig.claims.answer();
  await rig.settle();
  t.is(rig.reason(pod), 'ClaimPending');
  t.regex(rig.told(pod)?.condition?.message ?? '', /cannot be read: the API server is away; it is asked for again/);
  t.deepEqual(
    rig.recorded('failure').map(({ operation }) => operation),
    ['claims'],
  );
  rig.claims.fault = undefined;
  await rig.advance(5_000);
  t.is(rig.reason(pod), 'PortsMapped');
  t.deepEqual(
    rig.recorded('recovered').map(({ operation }) => operation),
    ['claims'],
  );
});

test('a new pod gets no number by what was said of its claim before it came', async (t) => {
  const rig = await rigOf();
  const old = claimant(1);
  await rig.set(old);
  rig.claims.slow = true;
  rig.claims.unbind('games', 'lobby', 'it is being deleted');
  const next = claimant(2);
  await rig.set(next);
  await rig.delete(old);
  t.deepEqual([rig.live(), rig.grants()], [[], []]);
  t.is(rig.reason(next), 'PortsPending');
  rig.claims.answer();
  await rig.settle();
  t.is(rig.reason(next), 'ClaimPending');
  rig.claims.bind('games', 'lobby', CLAIM);
  await rig.advance(10_000);
  t.deepEqual(rig.live(), [`server-2/web TCP ${CLAIM}`]);
});

test('I6: a pod that came late is promised nothing by what an earlier agent knew of its claim', async (t) => {
  const rig = await rigOf();
  const holder = claimant(1, { ready: true });
  await rig.set(holder);
  rig.claims.unbind('games', 'lobby', 'it is being deleted');
  const next = claimant(2);
  await rig.set(next);
  t.deepEqual([rig.reason(next), rig.told(next)?.annotations], ['ClaimPending', {}]);
  rig.claims.slow = true;
  await rig.restart();
  await rig.settle();
  t.deepEqual([rig.reason(next), rig.told(next)?.annotations], ['ClaimPending', {}]);
  rig.claims.bind('games', 'lobby', 25_566);
  rig.claims.answer();
  await rig.delete(holder);
  t.deepEqual(rig.told(next)?.annotations['port.berth.dev/web'], '25566');
});

test('many claims that are not answered are asked for a few at a time', async (t) => {
  const rig = await rigOf(({ claims }) => {
    claims.slow = true;
  });
  const pods = Array.from({ length: 40 }, (_, index) => claimant(index + 1, {}, `claim-${index}`));
  await rig.set(...pods);
  t.is(rig.claims.gets.length, 8);
  for (let index = 0; index < 40; index++) rig.claims.bind('games', `claim-${index}`, 26_000 + index);
  rig.claims.answer();
  await rig.settle();
  t.is(rig.live().length, 40);
});

test('I10: however many claims pods name, the API server is asked at a rate, and one namespace holds up no other', async (t) => {
  const rig = await rigOf();
  const ports = Array.from({ length: 20 }, (_, index) => ({
    name: `p${index}`,
    containerPort: 1_000 + index,
    protocol: 'TCP' as const,
  }));
  const flood = Array.from({ length: 60 }, (_, index) => {
    const claims = ports.map(({ name }) => [`claim.berth.dev/${name}`, `none-${index}-${name}`]);
    return server(index + 2, { namespace: 'evil', annotations: Object.fromEntries(claims) }, ports);
  });
  await rig.set(...flood);
  await rig.advance(60_000);
  const { length } = rig.claims.gets;
  t.true(length <= 250 + 61 * 20, `${length} in a minute`);
  await rig.set(claimant(1));
  await rig.advance(1_000);
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`]);
});

test('where pods come from a directory claims need Kubernetes, and that is said', async (t) => {
  const rig = new Rig();
  rig.wrap = withoutClaims;
  await rig.start();
  const pod = claimant(1);
  await rig.set(pod, server(2));
  t.is(rig.reason(pod), 'InvalidPortRequest');
  t.regex(
    rig.told(pod)?.condition?.message ?? '',
    /claims need Kubernetes; remove the annotation, or run the agent with --pods kubernetes/,
  );
  t.deepEqual(rig.live(), ['server-2/web TCP 20000']);
});

test('a protocol that the claim is not for is a mistake', async (t) => {
  const rig = await rigOf();
  const pod = claimant(1, { ports: server(1, {}, [{ name: 'web', containerPort: 80, protocol: 'SCTP' }]).ports });
  await rig.set(pod);
  t.is(rig.reason(pod), 'InvalidPortRequest');
  t.regex(
    rig.told(pod)?.condition?.message ?? '',
    /claim "games\/lobby" is for TCP and UDP, and port "web" needs SCTP/,
  );
});

test('pools have no say in a pod that has nothing but claims', async (t) => {
  const rig = await rigOf((one) => {
    one.pools = [poolOf({ namespaces: ['media'], maxPortsPerPod: 0, hostIPs: [] })];
  });
  const pod = claimant(1);
  await rig.set(pod);
  t.is(rig.reason(pod), 'PortsMapped');
});

test("I1: a claim's number in a pool is nobody else's, and that it lies there is told", async (t) => {
  const rig = await rigOf(({ claims }) => claims.bind('games', 'lobby', 20_000));
  const pod = claimant(1);
  await rig.set(pod);
  const others = Array.from({ length: 9 }, (_, index) => server(index + 2));
  await rig.set(...others, server(11));
  t.is(new Set(rig.grants().map((grant) => grant.split(' ')[2])).size, 10);
  t.is(rig.number(pod), 20_000);
  t.is(rig.reason(server(11)), 'PoolExhausted');
  t.is(rig.reason(pod), 'PortsMapped');
  t.deepEqual(rig.said(pod), ['PortsMapped', 'PortConflict']);
});

test('that it lies there is told where Berth serves static hostPorts too', async (t) => {
  const rig = await rigOf((one) => {
    one.claims.bind('games', 'lobby', 20_000);
    one.servesStatics = true;
  });
  const pod = claimant(1);
  await rig.set(pod);
  t.deepEqual(rig.said(pod), ['PortsMapped', 'PortConflict']);
});

test('I1: a pool does not give out the number of a claim that waits for something else', async (t) => {
  const rig = await rigOf(({ claims }) => claims.bind('games', 'lobby', 20_000));
  await rig.set(
    server(1, {
      annotations: { 'claim.berth.dev/web': 'lobby', 'berth.dev/ports': 'web, 9', 'berth.dev/pool': 'none' },
    }),
  );
  await rig.set(server(2));
  t.deepEqual(rig.live(), ['server-2/web TCP 20001']);
});

test("I1: a number that another pod has from a pool is a conflict, which that pod's end heals without a rest", async (t) => {
  const rig = await rigOf(({ claims }) => claims.bind('games', 'lobby', 20_000));
  const dynamic = server(1);
  await rig.set(dynamic);
  const pod = claimant(2);
  await rig.set(pod);
  t.is(rig.reason(pod), 'PortConflict');
  t.regex(
    rig.told(pod)?.condition?.message ?? '',
    /host port 20000\/TCP, which pod games\/server-1 \(port "web", pool "default"\) has on this node/,
  );
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  await rig.delete(dynamic);
  t.deepEqual(rig.live(), ['server-2/web TCP 20000']);
  t.is(rig.reason(pod), 'PortsMapped');
});

test('I1: a static hostPort on the number is a conflict of both', async (t) => {
  const rig = await rigOf();
  const fixed = server(1, { annotations: {} }, [{ containerPort: 80, hostPort: CLAIM }]);
  await rig.set(fixed);
  const pod = claimant(2);
  await rig.set(pod);
  t.is(rig.reason(pod), 'PortConflict');
  t.deepEqual(rig.live(), []);
  await rig.delete(fixed);
  await rig.advance(6_000);
  t.deepEqual(rig.live(), [`server-2/web TCP ${CLAIM}`]);
  await rig.set(fixed);
  t.deepEqual(rig.live(), [`server-2/web TCP ${CLAIM}`], 'what is mapped stays');
  t.deepEqual(rig.said(fixed), ['PortConflict']);
});

test('I1: a static hostPort that Berth serves keeps its number from a claim', async (t) => {
  const rig = await rigOf((one) => {
    one.servesStatics = true;
  });
  const fixed = server(1, { annotations: {} }, [{ containerPort: 80, hostPort: CLAIM }]);
  const pod = claimant(2);
  await rig.set(fixed, pod);
  t.deepEqual(rig.live(), [`server-1/80-tcp TCP ${CLAIM}`]);
  t.is(rig.reason(pod), 'PortConflict');
  await rig.delete(fixed);
  await rig.advance(6_000);
  t.deepEqual(rig.live(), [`server-2/web TCP ${CLAIM}`]);
});

test('a number that another process holds is a conflict, which is tried again', async (t) => {
  const rig = await rigOf();
  rig.reserver.occupy({ protocol: 'TCP', port: CLAIM });
  const pod = claimant(1);
  await rig.set(pod);
  t.is(rig.reason(pod), 'PortConflict');
  t.regex(rig.told(pod)?.condition?.message ?? '', /another process on the node holds/);
  rig.reserver.vacate({ protocol: 'TCP', port: CLAIM });
  await rig.advance(6_000);
  t.is(rig.reason(pod), 'PortsMapped');
});

test("a claim's number waits for no rest, and a pool's does for the next pod of the pool", async (t) => {
  const rig = await rigOf(({ claims }) => claims.bind('games', 'lobby', 20_000));
  const pod = claimant(1);
  await rig.set(pod);
  await rig.delete(pod);
  const next = claimant(2);
  await rig.set(next);
  t.deepEqual(rig.live(), ['server-2/web TCP 20000']);
  await rig.delete(next);
  await rig.set(...Array.from({ length: 10 }, (_, index) => server(index + 3)));
  t.false(rig.grants().some((grant) => grant.endsWith(' 20000')));
});

test('I6: a restart while the API server is away changes nothing', async (t) => {
  const rig = await rigOf();
  const [holder, next] = [claimant(1, { ready: true }), claimant(2)];
  await rig.set(holder, next);
  const told = [rig.told(holder), rig.told(next)?.annotations];
  rig.claims.fail();
  await rig.restart();
  await rig.advance(120_000);
  t.deepEqual(rig.rules(), [`tcp . ${CLAIM} : 10.0.0.1 . 80`]);
  t.deepEqual([rig.told(holder), rig.told(next)?.annotations], told);
});

test('I6: a restart without kernel, API server or anything but the state file gives the same number', async (t) => {
  const rig = await rigOf();
  const pod = claimant(1);
  await rig.set(pod);
  rig.claims.fail();
  rig.ruleset.flush();
  await rig.restart();
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`]);
  t.is(rig.reason(pod), 'PortsMapped');
});

test('I6: a restart without a state file adopts the rule of a claim that nobody tells of', async (t) => {
  const rig = await rigOf();
  const pod = claimant(1);
  await rig.set(pod);
  rig.claims.fail();
  await rig.stop();
  rig.store.text = undefined;
  await rig.restart();
  await rig.advance(60_000);
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`]);
  t.is(rig.reason(pod), 'PortsMapped');
});

test('a claim that is not bound any more keeps the mapping that stands, and gives no new one', async (t) => {
  const rig = await rigOf();
  const pod = claimant(1);
  await rig.set(pod);
  rig.claims.delete('games', 'lobby');
  await rig.advance(600_000);
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`]);
  const next = claimant(2);
  await rig.set(next);
  await rig.delete(pod);
  t.is(rig.reason(next), 'ClaimPending');
  t.deepEqual(rig.live(), []);
});

test('a claim that was made anew with another number moves the mapping to it', async (t) => {
  const rig = await rigOf();
  const pod = claimant(1);
  await rig.set(pod);
  rig.claims.bind('games', 'lobby', 25_570);
  await rig.advance(600_000);
  t.deepEqual(rig.live(), ['server-1/web TCP 25570']);
});

test('a pod whose annotation names another claim has that number, and no longer the first', async (t) => {
  const rig = await rigOf(({ claims }) => claims.bind('games', 'arena', 25_570));
  await rig.set(claimant(1));
  await rig.set(claimant(1, {}, 'arena'));
  t.deepEqual(rig.rules(), ['tcp . 25570 : 10.0.0.1 . 80']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 25_570 }]);
});

test('a claim of another namespace is another claim', async (t) => {
  const rig = await rigOf(({ claims }) => claims.bind('media', 'lobby', 25_570));
  await rig.set(claimant(1), claimant(2, { namespace: 'media' }));
  t.deepEqual(rig.live(), [`server-1/web TCP ${CLAIM}`, 'server-2/web TCP 25570']);
});

test('a claimed port on one address of the node', async (t) => {
  const rig = await rigOf();
  const pod = claimant(1, { annotations: { 'claim.berth.dev/web': 'lobby', 'berth.dev/host-ip': '192.0.2.10' } });
  await rig.set(pod);
  t.deepEqual(rig.rules(), [`192.0.2.10 . tcp . ${CLAIM} : 10.0.0.1 . 80`]);
});

test("Galaxy's annotation tells the claimed number too", async (t) => {
  const rig = await rigOf();
  const pod = claimant(1, { annotations: { 'claim.berth.dev/web': 'lobby', 'tkestack.io/portmapping': '' } });
  await rig.set(pod);
  t.regex(rig.told(pod)?.annotations['tkestack.io/portmapping'] ?? '', new RegExp(`"hostPort":${CLAIM}`));
});
