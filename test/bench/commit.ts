/** One mapping committed as the agent does it, with more and more of them installed, and the same by spawning nft. */

import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Nft } from '../../daemon/datapath/nft.ts';
import { Table } from '../../daemon/datapath/table.ts';
import type { ElementChange } from '../../rules/element.ts';
import { elementsOf, nodeElements } from '../../rules/elements.ts';
import { Namespace } from '../kernel/namespace.ts';
import type { Measure } from './items.ts';
import { mapping } from './mappings.ts';
import { ms, row, times } from './row.ts';
import { median, p99 } from './statistics.ts';

const BUDGET = 'p50 ≤ 0.5 ms, p99 ≤ 3 ms';

interface Times {
  readonly add: readonly number[];
  readonly remove: readonly number[];
}

export const measure: Measure = async (scale, tell) => {
  using node = Namespace.create('bench');
  node.stay();
  const nft = await Nft.find();
  await using transport = new NetlinkTransport();
  await using table = new Table({ nft, transport });
  await table.read();
  await table.apply({ add: nodeElements([{ family: 4, address: '192.0.2.1', device: 'eth0' }]), remove: [] });

  const rounds = scale.pick(2_000, 400);
  const medians = new Map<number, number>();
  for (const count of [10, 1_000, 10_000]) {
    await fill(table, medians.size === 0 ? 0 : ([...medians.keys()].at(-1) ?? 0), count);
    await time(table, 100);
    const { add, remove } = await time(table, rounds);
    medians.set(count, median(add));
    for (const [verb, samples] of [
      ['add', add],
      ['delete', remove],
    ] as const) {
      const met = median(samples) <= 0.5 && p99(samples) <= 3;
      const ratio = verb === 'add' && count > 10 ? `${times(median(add) / (medians.get(10) ?? 0))} of 10` : '';
      tell(
        row(`commit of one mapping, ${verb}, ${count} installed`, {
          budget: BUDGET,
          median: ms(median(samples)),
          p99: ms(p99(samples)),
          ratio,
          met,
        }),
      );
    }
  }
  const slope = ((medians.get(10_000) ?? 0) - (medians.get(10) ?? 0)) / 9.99;
  tell(row('its slope, a thousand mappings', { median: ms(Math.max(0, slope)) }));

  await using spawned = new Table({ nft, transport: nft });
  const { add, remove } = await time(spawned, scale.pick(30, 8));
  const fast = medians.get(10_000) ?? 0;
  tell(
    row(`the same by the program nft, add, 10000 installed`, {
      median: ms(median(add)),
      p99: ms(p99(add)),
      ratio: `${times(median(add) / fast)} of netlink`,
    }),
  );
  tell(
    row(`the same by the program nft, delete, 10000 installed`, { median: ms(median(remove)), p99: ms(p99(remove)) }),
  );
};

/** In transactions of 1,000. */
async function fill(table: Table, from: number, to: number): Promise<void> {
  for (let first = from; first < to; first += 1_000) {
    const count = Math.min(1_000, to - first);
    const add = Array.from({ length: count }, (_, index) => mapping(first + index)).flatMap(elementsOf);
    await table.apply({ add, remove: [] });
  }
}

/** Adds and deletes one mapping in turn. */
async function time(table: Table, rounds: number): Promise<Times> {
  const add: number[] = [];
  const remove: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const elements = elementsOf(mapping(30_000 + (round % 1_000)));
    add.push(await timed(table, { add: elements, remove: [] }));
    remove.push(await timed(table, { add: [], remove: elements }));
  }
  return { add, remove };
}

async function timed(table: Table, change: ElementChange): Promise<number> {
  const start = performance.now();
  await table.apply(change);
  return performance.now() - start;
}
