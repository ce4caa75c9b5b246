/** Another program flushes the ruleset: how long until the last of 1,000 mappings stands again, as seen in the kernel. */
import { setTimeout } from 'node:timers/promises';
import { BatchSocket } from '../../daemon/datapath/batch.ts';
import { readElements } from '../../daemon/datapath/dump.ts';
import { RulesetGeneration } from '../../daemon/datapath/generation.ts';
import { isErrno } from '../../daemon/native/errno.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../../daemon/native/netlink.ts';
import type { Namespace } from '../kernel/namespace.ts';
import type { Measure } from './items.ts';
import { podPlan } from './mappings.ts';
import { BenchNode } from './node.ts';
import { ms, row } from './row.ts';
import { median } from './statistics.ts';

/** NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_DELTABLE; without a family and a name: every table, as `nft flush ruleset` asks for. */
const FLUSH = { type: (10 << 8) | 2, flags: 0, body: new Uint8Array(4) };
const MAPPINGS = 1_000;

export const measure: Measure = async (scale, tell) => {
  using node = new BenchNode();
  node.declare(Array.from({ length: 200 }, (_, index) => podPlan(index, MAPPINGS / 200)));
  const agent = await node.observe();
  await agent.until(({ mapped }) => mapped === MAPPINGS, 'all mapped');
  const standing = (await elements(node.namespace)) ?? 0;
  using nft = node.namespace.enter(() => new BatchSocket());
  using generation = node.namespace.enter(() => new RulesetGeneration());
  const samples: number[] = [];
  const rounds = scale.pick(20, 6);
  for (let round = 0; round < rounds; round++) {
    // At any moment between two looks of the agent.
    await setTimeout(150 + (100 * round) / rounds);
    const start = performance.now();
    const refused = await nft.run([FLUSH]);
    if (refused !== undefined) throw new Error(`the flush was refused: ${refused.errno}`);
    const flushed = generation.read();
    for (;;) {
      await setTimeout(1);
      if (generation.read() !== flushed && (await elements(node.namespace)) === standing) break;
      if (performance.now() - start > 10_000) throw new Error('not healed within 10 s');
    }
    samples.push(performance.now() - start);
  }
  tell(
    row(`heal after a flush of the ruleset, ${MAPPINGS} mappings`, {
      budget: '≤ 300 ms',
      median: ms(median(samples)),
      p99: ms(Math.max(...samples)),
      met: Math.max(...samples) <= 300,
    }),
  );
  await agent.stop();
};

/** How many elements the table has; undefined while it is not there, or being changed. */
async function elements(node: Namespace): Promise<number | undefined> {
  await using socket = node.enter(() => NetlinkSocket.open(NETLINK_NETFILTER));
  try {
    return (await readElements(socket))?.length;
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return undefined;
    throw error;
  }
}
