/** Tracked flows that disagree with the rules are cut before anything is announced (I2). */
import test from 'ava';
import type { Flow } from '../../daemon/core/flow.ts';
import { Rig, server } from './rig.ts';

/** To 192.0.2.10:20000 and, translated, to the pod. */
function flow(fields: Partial<Flow> = {}): Flow {
  const [destination, port] = ['192.0.2.10', 20_000];
  const client = { protocol: 'TCP', source: '198.51.100.1', sourcePort: 5_000 } as const;
  return { ...client, destination, port, replySource: '10.0.0.1', replyPort: 80, ...fields };
}

const straight = { replySource: '192.0.2.10', replyPort: 20_000 };

function failures(rig: Rig): number {
  return rig.recorded('failure').filter(({ operation }) => operation === 'flows').length;
}

test('a client that knocked before the port was mapped gets through afterwards', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.flows.flows = [flow(straight), flow({ ...straight, port: 20_001 })];
  await rig.set(server(1));
  t.deepEqual(rig.flows.flows, [flow({ ...straight, port: 20_001 })]);
  t.deepEqual(rig.flows.lastPorts, [{ protocol: 'TCP', port: 20_000, size: 1 }]);
});

test('conntrack fails once: announcing waits for the next try', async (t) => {
  const rig = new Rig();
  rig.echoes = false;
  await rig.start();
  const refuse = () => {
    throw new Error('ENOBUFS');
  };

  // Step 1: it fails.
  rig.flows.fault = refuse;
  await rig.set(server(1));
  t.deepEqual(rig.rules(), ['tcp . 20000 : 10.0.0.1 . 80']);
  t.deepEqual(rig.live(), []);
  t.is(failures(rig), 1);

  // Step 2: it works a second later.
  rig.flows.fault = () => {};
  rig.flows.flows = [flow(straight)];
  await rig.advance(1_000);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.deepEqual(rig.flows.flows, []);
  t.deepEqual(
    rig.recorded('recovered').map(({ operation }) => operation),
    ['flows'],
  );
});

test('I8: conntrack fails twice: the pod is announced all the same, and cleaning goes on until it is done', async (t) => {
  const rig = new Rig();
  rig.echoes = false;
  await rig.start();
  rig.flows.fault = () => {
    throw new Error('nf_conntrack is not loaded');
  };

  // Step 1: it fails a second time.
  await rig.set(server(1));
  await rig.advance(1_000);
  t.is(failures(rig), 2);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);

  // Step 2: a further pod does not wait for what is known to fail.
  await rig.set(server(2));
  t.is(rig.live().length, 2);

  // Step 3: a minute later it works; nothing was forgotten.
  await rig.advance(60_000);
  rig.flows.flows = [flow(straight), flow({ ...straight, port: 20_001, replyPort: 20_001 })];
  rig.flows.fault = () => {};
  await rig.advance(1_000);
  t.deepEqual(rig.flows.flows, []);
});

test('I2: two passes at one moment are one try: announcing waits for the time that the next try takes', async (t) => {
  const rig = new Rig();
  await rig.start();
  rig.flows.fault = () => {
    throw new Error('ENOBUFS');
  };
  await rig.set(server(1));
  t.true(failures(rig) >= 2, 'its own promise came back as an event');
  t.deepEqual(rig.live(), []);
  await rig.advance(1_000);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
});

test('I7: a pod that ends while conntrack fails leaves no flow when it works again', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.flows.flows = [flow()];
  rig.flows.fault = () => {
    throw new Error('ENOBUFS');
  };

  // Step 1: the number stays with the pod that is gone as long as its flows may be there.
  await rig.delete(server(1));
  t.deepEqual(rig.grants(), ['server-1/web TCP 20000']);

  // Step 2: cleaned, then released.
  rig.flows.fault = () => {};
  await rig.advance(1_000);
  t.deepEqual(rig.flows.flows, []);
  t.deepEqual(rig.grants(), []);
});

test('I7: a pod that ends in the moment in which somebody flushes the table leaves no flow, though no rule is left to remove', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.flows.flows = [flow()];

  rig.ruleset.flush();
  await rig.delete(server(1));

  t.deepEqual(rig.flows.flows, []);
});

test('I6: a restart while connections cannot be cleaned takes back nothing that works', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const before = rig.told(server(1));
  await rig.stop();
  rig.reserver.crash();
  rig.takeSteps();
  rig.flows.fault = () => {
    throw new Error('nf_conntrack_netlink is not loaded');
  };

  // Step 1: the first pass cannot look at the connections. The old mapping is announced, a new one waits.
  await rig.start();
  await rig.set(server(2));
  t.deepEqual(rig.live(), ['server-1/web TCP 20000']);
  t.deepEqual(rig.told(server(1)), before);
  t.false(rig.takeSteps().some((step) => step.startsWith('tell server-1')));

  // Step 2: it works again.
  rig.flows.fault = () => {};
  await rig.advance(2_000);
  t.deepEqual(rig.live(), ['server-1/web TCP 20000', 'server-2/web TCP 20001']);
});

test('I6: open connections of live mappings survive a restart of the agent', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  rig.flows.flows = [flow(), flow({ sourcePort: 6_000 })];
  await rig.restart();
  t.is(rig.flows.flows.length, 2);
});

test('I4: flows to other hosts at the same port are none of its business', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const far = flow({ destination: '203.0.113.5', replySource: '203.0.113.5', replyPort: 20_000 });
  const service = flow({ destination: '10.96.0.1', replySource: '10.0.0.1', replyPort: 80 });
  rig.flows.flows = [far, service];
  await rig.delete(server(1));
  t.deepEqual(rig.flows.flows, [far, service]);
});

test('narrowing allow-from cuts open flows of those who are not allowed any more, and no other', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const friend = flow({ source: '203.0.113.5' });
  rig.flows.flows = [friend, flow()];
  await rig.set(server(1, { annotations: { 'berth.dev/ports': '', 'berth.dev/allow-from': '203.0.113.0/24' } }));
  t.deepEqual(rig.flows.flows, [friend]);
});

test('a take-down in which the last agent died is finished by the next: the flows of the dead pod are cut', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  await rig.stop();
  rig.reserver.crash();
  rig.flows.flows = [flow()];
  rig.source.delete('games', 'server-1');
  // It had taken the rule away, and not cleaned the flows.
  rig.ruleset.flush();
  await rig.start();
  await rig.settle();
  t.deepEqual(rig.flows.flows, []);
  t.deepEqual(rig.grants(), []);
});

test('without a change conntrack is not looked at', async (t) => {
  const rig = new Rig();
  await rig.start();
  await rig.set(server(1));
  const { purges } = rig.flows;
  await rig.advance(600_000);
  t.is(rig.flows.purges, purges);
});
