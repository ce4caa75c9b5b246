/** What outlives what over TLS: streams their tokens, for a bounded time, and their certificates. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Client } from '@grpc/grpc-js';
import { status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { MappingRegistry } from '../../../daemon/core/registry.ts';
import { systemClock } from '../../../daemon/ops/clock.ts';
import { grpcConnector } from '../../../daemon/rpc/reportconnector.ts';
import { tlsCredentials } from '../../../daemon/rpc/tls/channel.ts';
import { ChannelFiles } from '../../../daemon/trust/channelfiles.ts';
import { ServerMaterials } from '../../../daemon/trust/servermaterials.ts';
import { type berth, MappingService } from '../../../proto/service.ts';
import { hasty } from '../clock.ts';
import { agent, eventually } from '../clusterfixture.ts';
import { mapping, NOW } from '../fixture.ts';
import { authority, clientOf, serverOf } from './material.ts';
import { agentOwner, channelOf, dial, list, outcome, owner, secured } from './secured.ts';

function watching(client: Client) {
  const { path, requestSerialize, responseDeserialize } = MappingService.watch;
  const call = client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, {});
  const pods: string[] = [];
  let synced = false;
  let ended: string | undefined;
  call.on('data', (answer: berth.v1.WatchResponse) => {
    synced ||= answer.synced ?? false;
    pods.push(...(answer.changes ?? []).map(({ set }) => set?.pod ?? ''));
  });
  call.on('error', () => {});
  call.on('status', ({ code, details }: { code: status; details: string }) => {
    ended = `${status[code]} ${details}`;
  });
  return {
    pods,
    get synced() {
      return synced;
    },
    get ended() {
      return ended;
    },
  };
}

/** On which half an hour is 0.3 s. */
const clock = hasty(1_800_000, 6_000);

test('a watch that is old ends, and is refused when it comes again with a token that was taken back meanwhile', async (t) => {
  const { address, tokens, rights, served } = await secured(t, { clock });
  tokens.set('ann', owner('ann'));
  rights.add('ann watch *');
  const client = dial(t, address, { token: 'ann' });
  const first = watching(client);
  await eventually(() => first.synced);
  tokens.delete('ann');
  await eventually(() => first.ended !== undefined);
  t.is(first.ended, 'UNAVAILABLE the stream is old: watch again');
  const again = watching(client);
  await eventually(() => again.ended !== undefined);
  t.regex(again.ended ?? '', /^UNAUTHENTICATED the token is not accepted/);
  // A right that was taken back ends it too.
  tokens.set('ann', owner('ann'));
  const third = watching(client);
  await eventually(() => third.synced);
  rights.delete('ann watch *');
  await eventually(() => third.ended !== undefined);
  const last = watching(client);
  await eventually(() => last.ended !== undefined);
  t.regex(last.ended ?? '', /^PERMISSION_DENIED/);
  t.is(served.watchers, 0);
});

test("an agent's stream that is old ends and comes again, without a gap; with a token that was taken back it does not", async (t) => {
  const { address, tokens, cluster } = await secured(t, { clock });
  tokens.set('a', agentOwner('agent-a', 'uid-a', 'node-a'));
  const registry = new MappingRegistry();
  registry.set('node-a', mapping('web'), NOW);
  const { heard } = agent(t, [address], { registry, connect: grpcConnector(channelOf({ token: 'a' })) });
  const old = 'lost UNAVAILABLE the stream is old: come again';
  await eventually(() => heard.filter((one) => one === old).length >= 2);
  t.true(heard.filter((one) => one.startsWith('connected')).length >= 2);
  t.is(cluster.mappings.all({})[0]?.stale, undefined);
  t.is(cluster.mappings.revision, 1);
  tokens.delete('a');
  await eventually(() => heard.some((one) => one.startsWith('lost UNAUTHENTICATED the token is not accepted')));
});

/** Files as others replace them. */
function directory(t: ExecutionContext) {
  const path = mkdtempSync(join(tmpdir(), 'berth-rotation-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  const at = (name: string) => join(path, name);
  const put = (files: Readonly<Record<string, string>>) => {
    for (const [name, content] of Object.entries(files)) writeFileSync(at(name), content);
  };
  return { at, put };
}

test('both sides get other certificates from other authorities while streams are open: none breaks, new ones see the new', async (t) => {
  const [servers, clients] = [authority('servers'), authority('clients')];
  const [nextServers, nextClients] = [authority('next servers'), authority('next clients')];
  const agentOf = (signer: typeof clients) => clientOf(signer, '/O=berth:agents/CN=node-a');
  const readerOf = (signer: typeof clients) => clientOf(signer, '/O=berth:readers/CN=ann');
  const { at, put } = directory(t);
  const shown = serverOf(servers);
  const own = agentOf(clients);
  put({ 'tls.crt': shown.cert, 'tls.key': shown.key, 'clients.crt': clients.cert });
  put({ 'ca.crt': servers.cert, 'own.crt': own.cert, 'own.key': own.key });
  const errors: Error[] = [];
  const materials = new ServerMaterials({
    identity: { kind: 'files', cert: at('tls.crt'), key: at('tls.key') },
    clientAuthorities: at('clients.crt'),
    clock: systemClock,
    random: Math.random,
    // Files of a pair change one after the other.
    onError: (error) => errors.push(error),
  });
  const files = new ChannelFiles(
    { authorities: at('ca.crt'), identity: { cert: at('own.crt'), key: at('own.key') } },
    (error) => errors.push(error),
  );
  t.teardown(() => {
    materials[Symbol.dispose]();
    files[Symbol.dispose]();
  });
  const { address, tls, cluster } = await secured(t, { material: await materials.first() });
  materials.follow((material) => tls.use(material));
  const connect = grpcConnector(tlsCredentials({ material: files, identified: true }));
  const { registry, heard } = agent(t, [address], { connect });
  const reader = (authorities: string, signer: typeof clients) =>
    dial(t, address, { material: { authorities, identity: readerOf(signer) } });
  const watch = watching(reader(servers.cert, clients));
  await eventually(() => watch.synced && cluster.count.heard === 1);

  // First both are trusted, then the new ones are shown, then the old ones are trusted no more.
  put({ 'ca.crt': servers.cert + nextServers.cert, 'clients.crt': clients.cert + nextClients.cert });
  const next = { server: serverOf(nextServers), own: agentOf(nextClients) };
  put({ 'tls.crt': next.server.cert, 'tls.key': next.server.key, 'own.crt': next.own.cert, 'own.key': next.own.key });
  const sees = async (authorities: string, signer: typeof clients) =>
    (await list(reader(authorities, signer))) === 'OK';
  while (!(await sees(nextServers.cert, nextClients)));
  t.true(await sees(nextServers.cert, clients));
  put({ 'ca.crt': nextServers.cert, 'clients.crt': nextClients.cert });
  while (await sees(nextServers.cert, clients));
  t.regex(await outcome(reader(servers.cert, nextClients), MappingService.list, {}), /^UNAVAILABLE/);

  registry.set('node-a', mapping('web'), NOW);
  await eventually(() => watch.pods.includes('web'));
  t.is(watch.ended, undefined);
  t.deepEqual(
    heard.filter((one) => one.startsWith('lost')),
    [],
  );
  // The same files lead the agent's next stream in.
  const later = agent(t, [address], { connect, epoch: 2, registry });
  await eventually(() => later.heard.some((one) => one.startsWith('connected')));
});
