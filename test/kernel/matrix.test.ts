/** What packets do, on the real kernel with the real agent: one table of cases, in every layout of the node. */
import { existsSync, readFileSync } from 'node:fs';
import test from 'ava';
import { CASES } from './matrix/cases.ts';
import { PacketCounter } from './matrix/counter.ts';
import { sceneOf } from './matrix/fixture.ts';
import { probe } from './matrix/probe.ts';
import { SCTP_PORT } from './matrix/scene.ts';
import { sendInit } from './matrix/sctp.ts';
import { CLIENT, FAMILIES, GATEWAY, LAYOUTS, NODE } from './matrix/topology.ts';
import { answered } from './matrix/waiting.ts';

for (const layout of LAYOUTS) {
  const opened = sceneOf(layout);

  for (const { title, ask } of CASES) {
    test(`${layout.name}: ${title}`, async (t) => {
      const scene = await opened();
      for (const family of FAMILIES) {
        const asked = ask(scene, family);
        if (asked === undefined) continue;
        for (const protocol of ['TCP', 'UDP'] as const) {
          t.is(await probe(asked.from, { protocol, ...asked }), asked.answer, `${protocol} over IPv${family}`);
        }
      }
      t.pass();
    });
  }

  test(`${layout.name}: SCTP: the mapping stands, and the agent has no SCTP socket`, async (t) => {
    const { agent, topology } = await opened();
    const { diameter } = await agent.mapped('sctp');
    for (const family of FAMILIES) {
      const map = topology.node.run('/usr/sbin/nft', ['list', 'map', 'inet', 'berth', `any${family}`]);
      t.regex(map, new RegExp(`sctp \\. ${diameter} .*: ${topology.place('sctp').address[family]} \\. ${SCTP_PORT}`));
    }
    const bound = `/proc/${agent.pid}/net/sctp/eps`;
    t.is(existsSync(bound) ? readFileSync(bound, 'utf8').trim().split('\n').length : 1, 1, 'a headline at most');
  });

  test(`${layout.name}: SCTP: a packet reaches the pod at its own port, from a client, and masked from the pod itself`, async (t) => {
    const { agent, topology } = await opened();
    const { diameter = 0 } = await agent.mapped('sctp');
    const { namespace } = topology.place('sctp');
    for (const [from, source] of [
      [topology.client, CLIENT],
      [namespace, GATEWAY],
    ] as const) {
      for (const family of FAMILIES) {
        const match = `${family === 4 ? 'ip' : 'ip6'} saddr ${source[family]} sctp dport ${SCTP_PORT}`;
        using counter = new PacketCounter(namespace, 'prerouting', match);
        sendInit(from, NODE[family], diameter);
        await answered(() => counter.packets > 0 || undefined, `a packet from ${source[family]}`);
      }
    }
    t.pass();
  });
}
