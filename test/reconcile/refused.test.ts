/** One element that the kernel refuses concerns its pod alone (I8). */
import test from 'ava';
import type { Element } from '../../rules/element.ts';
import { Rig, server } from './rig.ts';

const ofPod = (uid: string) => (element: Element) => element.comment.startsWith(`${uid}/`);

/** The times, in ms, at which the agent tried to install something for the pod. */
function watchTries(rig: Rig, uid: string): number[] {
  const tries: number[] = [];
  const isGuilty = ofPod(uid);
  rig.datapath.refuses = (element) => {
    if (isGuilty(element)) tries.push(rig.time.now);
    return isGuilty(element);
  };
  return tries;
}

test('I8: a pod whose element is refused waits alone; the others are served in the same pass', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.datapath.refuses = ofPod('uid-2');

  await rig.set(server(1), server(2), server(3));

  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-3/web TCP 20002']);
  t.is(rig.reason(server(2)), 'DatapathFailed');
  t.regex(
    rig.told(server(2))?.condition?.message ?? '',
    /pod games\/server-2: the kernel refused the rule of port "web"/,
  );
  t.is(rig.told(server(2))?.annotations['port.berth.dev/web'], '20001', 'the promise stands');
});

test('I8, I10: the refused pod is tried again after 1 s, doubling up to 60 s, and told of it once', async (t) => {
  const rig = new Rig();
  await rig.start();
  const tries = watchTries(rig, 'uid-1');

  await rig.set(server(1));
  await rig.advance(250_000);

  const moments = [...new Set(tries.map((time) => Math.round(time / 1_000)))];
  t.deepEqual(moments, [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]);
  t.deepEqual(rig.said(server(1)), ['DatapathFailed']);
});

test('I8: when the kernel takes the element the pod is served, and told so', async (t) => {
  const rig = new Rig();
  await rig.start();
  // Step 1: refused.
  rig.datapath.refuses = ofPod('uid-1');
  await rig.set(server(1));
  t.is(rig.reason(server(1)), 'DatapathFailed');

  // Step 2: whatever it was is gone; the next try comes of itself.
  rig.datapath.refuses = () => false;
  await rig.advance(1_100);
  t.is(rig.reason(server(1)), 'PortsMapped');
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.is(rig.recorded('solved').length, 1);

  // Step 3: the next refusal begins with 1 s again.
  const tries = watchTries(rig, 'uid-1');
  await rig.set(server(1, { podIPs: ['10.0.0.99'] }));
  const [first = 0] = tries;
  await rig.advance(1_100);
  t.true(tries.some((time) => time >= first + 1_000));
});

test('I8: a refused pod that changes is tried at once, not when its time has come', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.datapath.refuses = ofPod('uid-1');
  await rig.set(server(1));
  await rig.advance(40_000);

  rig.datapath.refuses = () => false;
  await rig.set(server(1, { podIPs: ['10.0.0.99'] }));

  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.99 . 80']);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('I1: a removal that is refused keeps the number: no other pod gets it while the rule stands', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1), server(2));

  // Step 1: the pod goes, its rule does not.
  rig.datapath.refuses = ofPod('uid-1');
  await rig.delete(server(1));
  t.deepEqual(rig.live(), ['server-2/web TCP 20001']);
  t.deepEqual(rig.grants(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
  t.true(rig.reserver.held().some(({ port }) => port === 20_000));
  t.is(rig.rules().length, 2);

  // Step 2: the kernel lets it go.
  rig.datapath.refuses = () => false;
  await rig.advance(1_100);
  t.deepEqual(rig.rules(), ['tcp . 20001 : 10.0.0.2 . 80']);
  t.deepEqual(rig.grants(), ['server-2/web TCP 20001']);
  t.deepEqual(rig.reserver.held(), [{ protocol: 'TCP', port: 20_001 }]);
});

test('I8: an address list that the kernel refuses never leaves the port open to everybody', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));

  rig.datapath.refuses = ({ set }) => set === 'limited';
  const annotations = { 'berth.dev/ports': '', 'berth.dev/allow-from': '203.0.113.0/24' };
  await rig.set(server(1, { annotations }));

  t.deepEqual(rig.rules(), [], 'rather closed than open');
  t.deepEqual(rig.live(), []);
  t.is(rig.reason(server(1)), 'DatapathFailed');
});

test('I8: what the node itself needs is refused, and the pods are served all the same', async (t) => {
  const rig = new Rig();
  rig.network.setRoute({ podIP: '10.0.0.1', device: 'cni0', bridge: true });
  await rig.start();
  rig.datapath.refuses = ({ set }) => set === 'samedev';

  await rig.set(server(1));

  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.true(rig.recorded('failure').some(({ operation }) => operation === 'apply'));
});

test('the Event of what was mapped names what is live and nothing else; a refusal is told once', async (t) => {
  const rig = new Rig();
  await rig.start();
  const asking = (ports: string) => server(1, { annotations: { 'berth.dev/ports': ports } }, []);
  await rig.set(asking('9000'));
  rig.datapath.refuses = ({ value }) => value.endsWith(' . 9001');
  await rig.set(asking('9000, 9001'));
  await rig.set(asking('9000, 9001, 9002'));
  const events = rig.publisher.events.get('uid-1') ?? [];
  const mapped = events.filter(({ reason }) => reason === 'PortsMapped').at(-1);
  t.regex(mapped?.message ?? '', /9000-tcp .*9002-tcp/);
  t.notRegex(mapped?.message ?? '', /9001-tcp/);
  t.is(rig.said(server(1)).filter((reason) => reason !== 'PortsMapped').length, 1);
});
