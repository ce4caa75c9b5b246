/** A rolling update of two pods of one claim on one node, under load: no request fails, and what is open stays where it is. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import test from 'ava';
import type { ClaimStatus, Handover } from '../../daemon/core/claim.ts';
import { NODE, Site, type StartOptions } from './agent.ts';
import { bytesOf, Download, FileServer, intact } from './download.ts';
import { Load } from './load.ts';
import { BOTH, type PodPlan, podAt } from './manifest.ts';
import { Conversation } from './matrix/conversation.ts';

/** Numbers of the claims, outside of the site's pool. */
const PLAY = 25_565;
const FILE = 25_566;
const FILE_PORT = 8090;

const ANNOTATIONS = {
  'claim.berth.dev/web': 'play',
  'claim.berth.dev/game': 'play',
  'claim.berth.dev/file': 'file',
};

const sees = (name: string) => `${name} sees 192.0.2.2`;

function claimsAt(site: Site, handover: Handover): StartOptions {
  const path = join(site.directory, 'claims.json');
  const bound = (port: number): ClaimStatus => ({ kind: 'bound', port, protocols: ['TCP', 'UDP'], handover });
  writeFileSync(path, JSON.stringify({ 'default/play': bound(PLAY), 'default/file': bound(FILE) }));
  return { entry: 'test/kernel/claims.agent.ts', env: { CLAIMS: path } };
}

function claimant(site: Site, name: string, plan: Partial<PodPlan> = {}): PodPlan {
  const ports = [...BOTH, { name: 'file', containerPort: FILE_PORT }];
  return podAt(site.topology.place(name), { annotations: ANNOTATIONS, ports, ...plan });
}

test.serial(
  'I6: a rolling update: no failed request, a download and a UDP flow over the old pod go on until it ends',
  async (t) => {
    await using site = new Site();
    for (const name of ['old', 'new']) site.place(name, 8080);
    using files = new FileServer(site.topology.place('old').namespace, FILE_PORT, 'old');
    const start = claimsAt(site, 'OnReady');
    const first = await site.run(start);
    const old = claimant(site, 'old', { ready: true, createdAt: 1_700_000_000_000 });
    site.declare(old);
    t.deepEqual(
      [...(await site.mapped(old))],
      [
        ['file/TCP', FILE],
        ['game/UDP', PLAY],
        ['web/TCP', PLAY],
      ],
    );
    using udp = new Conversation(site.topology.client, { protocol: 'UDP', address: NODE[4], port: PLAY });
    using tcp = new Conversation(site.topology.client, { protocol: 'TCP', address: NODE[4], port: PLAY });
    for (const talk of [udp, tcp]) t.is(await talk.ask(), sees('old'));
    using download = new Download(site.topology.client, NODE[4], FILE);
    await site.until(() => files.clients === 1, 'the download has begun');
    files.send(10);
    await site.until(() => download.bytes === bytesOf(10), 'half of it is there');

    await using load = new Load(site, PLAY);
    const next = claimant(site, 'new', { createdAt: 1_700_000_001_000 });
    site.declare(next);
    t.regex(await site.refused(next, 'HandoverPending'), /is with pod default\/old until this pod is ready/);
    t.is(site.told(next)?.annotations['port.berth.dev/web'], String(PLAY));
    const before = load.count(sees('old'));
    await site.until(() => load.count(sees('old')) > before + 200, 'the old pod is asked still');
    t.is(load.count(sees('new')), 0);

    site.declare({ ...next, ready: true });
    await site.mapped(next);
    t.regex(await site.refused(old, 'HandedOver'), /leads to pod default\/new now; open connections stay here/);
    await site.until(() => load.count(sees('new')) > 500, 'the new pod is asked');
    const answers = await load.stop();
    t.deepEqual([...answers.keys()].sort(), [sees('new'), sees('old')], JSON.stringify([...answers]));
    t.log(`${[...answers.values()].reduce((sum, count) => sum + count, 0)} requests, all of them answered`);

    const holdings = await site.agreed(first, (all) => all.length === 3);
    for (const talk of [udp, tcp]) t.is(await talk.ask(), sees('old'));
    await site.answers(PLAY, sees('new'), { protocol: 'UDP' });
    await first.stop();
    const second = await site.run(start);
    t.deepEqual(await site.agreed(second), holdings);
    for (const talk of [udp, tcp]) t.is(await talk.ask(), sees('old'), 'after another agent has taken over too');
    site.declare({ ...old, terminating: true });
    files.send(10, true);
    t.is(await download.ended, intact('old', 20));

    for (const talk of [udp, tcp]) t.is(await talk.ask(), sees('old'));
    site.declare({ ...old, terminating: true, ended: true });
    await site.until(
      async () => (await udp.ask(200)) === sees('new'),
      'the flow of UDP follows when the old pod has ended',
    );
    await site.until(async () => (await tcp.ask(200)) !== sees('old'), 'the connection of TCP is cut');
    t.deepEqual(await site.agreed(second), holdings);
    t.deepEqual(second.logged('violation'), []);
  },
);

test.serial('OnTerminated: the number waits for the end of the old pod, and moves then at once', async (t) => {
  await using site = new Site();
  for (const name of ['old', 'new']) site.place(name, 8080);
  const agent = await site.run(claimsAt(site, 'OnTerminated'));
  const old = claimant(site, 'old', { ready: true, createdAt: 1_700_000_000_000 });
  site.declare(old);
  await site.mapped(old);
  await using load = new Load(site, PLAY);
  const next = claimant(site, 'new', { ready: true, createdAt: 1_700_000_001_000 });
  site.declare(next);
  t.regex(await site.refused(next, 'HandoverPending'), /is with pod default\/old until that one has ended/);
  site.declare({ ...old, terminating: true });
  const before = load.count(sees('old'));
  await site.until(() => load.count(sees('old')) > before + 200, 'the old pod is asked still');
  t.is(load.count(sees('new')), 0);

  site.declare({ ...old, terminating: true, ended: true });
  await site.until(() => load.count(sees('new')) > 200, 'the new pod is asked');
  const answers = await load.stop();
  t.deepEqual([...answers.keys()].sort(), [sees('new'), sees('old')], JSON.stringify([...answers]));
  await site.mapped(next);
  await site.agreed(agent, (all) => all.length === 3);
});

test.serial('where pods come from a directory a claim is a mistake, and the other pods are served', async (t) => {
  await using site = new Site();
  site.place('one', 8080);
  await site.run();
  const pod = claimant(site, 'one');
  site.declare(pod);
  t.regex(
    await site.refused(pod, 'InvalidPortRequest'),
    /claims need Kubernetes; remove the annotation, or run the agent with --pods kubernetes/,
  );
  site.declare({ ...pod, annotations: { 'berth.dev/ports': 'web' } });
  const port = (await site.mapped(pod)).get('web/TCP') ?? 0;
  t.is(await site.ask(port), sees('one'));
});
