/**
 * Takes what the agent keeps in the kernel away for good: the table `inet berth`, and tracked flows. It must never touch another
 * table, nor delete a flow that it was not told to.
 */
import type { Element } from '../../rules/element.ts';
import { FAMILY, TABLE } from '../../rules/skeleton.ts';
import type { Seen } from '../core/diagnosis.ts';
import { BerthError } from '../core/errors.ts';
import type { Flow } from '../core/flow.ts';
import type { FlowPorts } from '../reconcile/ports.ts';
import type { FlowRemoval, TableRemoval } from '../reconcile/uninstall/ports.ts';
import { ConntrackFlows } from './flows.ts';
import { glanceAtFlows, glanceAtTable } from './glance.ts';
import { Nft } from './nft.ts';

export class TableRemover implements TableRemoval {
  async look(): Promise<readonly Element[] | undefined> {
    const { deviation, elements } = known(await glanceAtTable(), 'NFT_REFUSED', 'the table inet berth');
    return deviation === undefined ? undefined : [...elements.values()];
  }

  /** Declared first, as deleting what is not there is an error of nft (`destroy` came with 1.0.7). */
  async remove(): Promise<void> {
    const nft = await Nft.find();
    await nft.run('text', `table ${FAMILY} ${TABLE}\ndelete table ${FAMILY} ${TABLE}\n`);
  }
}

export class FlowRemover extends ConntrackFlows implements FlowRemoval {
  async count(ports: readonly FlowPorts[], disagrees: (flow: Flow) => boolean): Promise<number> {
    return known(await glanceAtFlows(ports), 'NETLINK_FAILED', 'the tracked flows').filter(disagrees).length;
  }
}

function known<T>(fact: Seen<T>, code: 'NFT_REFUSED' | 'NETLINK_FAILED', what: string): T {
  if (fact.kind === 'seen') return fact.value;
  throw new BerthError(code, `${what} cannot be read: ${fact.why}`);
}
