/**
 * A UDP port goes over to the pod that takes its pod's place: how long until the flow that its client keeps open is gone, among
 * 100,000 tracked connections, and how long the agent's loop stood still meanwhile.
 */
import { readElements } from '../../daemon/datapath/dump.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../daemon/native/netlink.ts';
import { adopt } from '../../rules/adoption.ts';
import { flow, track, tracked } from '../kernel/connections.ts';
import type { Namespace } from '../kernel/namespace.ts';
import type { Measure } from './items.ts';
import { podIP, podPlan, uidOf } from './mappings.ts';
import { BenchNode, NODE_IP } from './node.ts';
import { now } from './observation.ts';
import { ms, row } from './row.ts';
import { median } from './statistics.ts';

const OTHERS = 250;
const CONNECTIONS = 100_000;

export const measure: Measure = async (scale, tell) => {
  using node = new BenchNode();
  node.declare(Array.from({ length: OTHERS }, (_, index) => podPlan(index, 2)));
  const life = (round: number) => ({
    name: 'server',
    uid: uidOf(1_000 + round),
    ip: podIP(1_000 + round),
    ports: 1,
    protocol: 'UDP' as const,
  });
  node.declare([life(0)]);
  const agent = await node.observe({ stalls: true });
  await agent.until(({ mapped }) => mapped === 2 * OTHERS + 1, 'all mapped');
  await track(
    node.namespace,
    Array.from({ length: CONNECTIONS }, (_, index) => elsewhere(index)),
  );

  const port = await hostPort(node.namespace, life(0).uid);
  const samples: number[] = [];
  const stalls: number[] = [];
  for (let round = 1; round <= scale.pick(10, 3); round++) {
    const client = {
      protocol: 'UDP',
      source: '198.51.100.9',
      sourcePort: 4_000 + round,
      destination: NODE_IP,
      port,
    } as const;
    await track(node.namespace, [flow({ ...client, replySource: life(round - 1).ip, replyPort: 8_000 })]);
    const before = tracked(node.namespace);
    const { flows } = agent.seen;
    const show = node.stage([life(round)]);
    agent.send('reset');
    const start = now();
    show();
    const seen = await agent.until((latest) => latest.flows > flows, 'the flow is deleted');
    samples.push(seen.flowsAt - start);
    stalls.push(seen.stallMs);
    if (tracked(node.namespace) !== before - 1) throw new Error('other connections were deleted too');
  }
  const what = `${CONNECTIONS} connections tracked, a UDP port goes over to another pod`;
  tell(
    row(`${what}: until its flow is gone`, {
      budget: '≤ 200 ms',
      median: ms(median(samples)),
      p99: ms(Math.max(...samples)),
      met: median(samples) <= 200,
    }),
  );
  tell(
    row(`${what}: longest stall of the loop`, {
      budget: '≤ 20 ms',
      median: ms(median(stalls)),
      p99: ms(Math.max(...stalls)),
      met: median(stalls) <= 20,
    }),
  );
  await agent.stop();
};

/** A connection that passes the node and is nobody's business. */
function elsewhere(index: number) {
  const destination = '203.0.113.7';
  return flow({
    source: `10.250.${index >> 14}.${1 + ((index >> 7) & 127)}`,
    sourcePort: 10_000 + (index & 127),
    destination,
    port: 443,
    replySource: destination,
    replyPort: 443,
  });
}

async function hostPort(node: Namespace, uid: string): Promise<number> {
  await using socket = node.enter(() => NetlinkSocket.open(NETLINK_NETFILTER));
  const found = adopt((await readElements(socket)) ?? []).find((one) => one.uid === uid);
  if (found === undefined) throw new Error(`no rule for ${uid}`);
  return found.hostPort;
}
