/**
 * Run by tests in a process of its own. `refused`: prints what each way into the kernel answers. `churn`: makes and deletes a
 * table of its own without end, some thousand commits a second.
 */
import { setTimeout } from 'node:timers/promises';
import { BatchSocket } from '../../daemon/datapath/batch.ts';
import { NetlinkTransport } from '../../daemon/datapath/netlinktransport.ts';
import { Nft } from '../../daemon/datapath/nft.ts';
import { Table } from '../../daemon/datapath/table.ts';
import { AttributeWriter } from '../../daemon/native/attributes.ts';
import { NLM_F_CREATE } from '../../daemon/native/netlink.ts';
import type { Element } from '../../rules/element.ts';

if (process.argv[2] === 'churn') await churn();
else await refused();

async function refused(): Promise<never> {
  const nft = await Nft.find();
  const element: Element = { set: 'udpany', key: '1', value: '', comment: '' };
  const change = { remove: [], add: [element] };
  const ways: readonly (() => Promise<unknown>)[] = [
    async () => new Table({ nft, transport: nft }).read(),
    async () => new Table({ nft, transport: nft }).apply(change),
    () => new NetlinkTransport().commit(change),
    () => nft.commit(change),
  ];
  for (const way of ways) {
    console.log(await way().catch((error: { code: string; message: string }) => `${error.code} ${error.message}`));
  }
  process.exit();
}

async function churn(): Promise<never> {
  const socket = new BatchSocket();
  const body = new AttributeWriter(Uint8Array.of(1, 0, 0, 0)).text(1, 'churn').body();
  for (;;) {
    await socket.run([{ type: 10 << 8 /* NFT_MSG_NEWTABLE */, flags: NLM_F_CREATE, body }]);
    await setTimeout(1);
    await socket.run([{ type: (10 << 8) | 2 /* NFT_MSG_DELTABLE */, flags: 0, body }]);
  }
}
