import { Client, credentials, Metadata } from '@grpc/grpc-js';
import test from 'ava';
import { MappingRegistry } from '../../../daemon/core/registry.ts';
import { ruleOf } from '../../../daemon/rpc/access.ts';
import { grpcConnector } from '../../../daemon/rpc/reportconnector.ts';
import { HealthService, MappingService, NodeService } from '../../../proto/service.ts';
import { agent, eventually } from '../clusterfixture.ts';
import { mapping, NOW } from '../fixture.ts';
import { authority, clientOf, serverOf } from './material.ts';
import { AGENT_ACCOUNT, agentOwner, channelOf, dial, list, outcome, owner, secured } from './secured.ts';

const NO_TOKEN = 'UNAUTHENTICATED neither a client certificate that counts nor one bearer token was given';
const BAD_TOKEN = 'UNAUTHENTICATED the token is not accepted: it ended, or was not made for this audience';

/** The first thing that the aggregator let an agent know. */
async function verdict(heard: readonly string[]): Promise<string> {
  let found: string | undefined;
  await eventually(() => {
    found = heard.find((one) => /^(lost|connected) /.test(one));
    return found !== undefined;
  });
  return found ?? '';
}

test('without a token or a certificate nothing is answered but health', async (t) => {
  const { address } = await secured(t);
  const client = dial(t, address);
  t.is(await list(client), NO_TOKEN);
  t.is(await outcome(client, MappingService.get, { namespace: 'shop', pod: 'a' }), NO_TOKEN);
  t.is(await outcome(client, NodeService.listNodes, {}), NO_TOKEN);
  t.is(await outcome(client, HealthService.check, {}), 'OK');
  const connector = grpcConnector(channelOf());
  const { heard } = agent(t, [address], { connect: connector });
  t.is(await verdict(heard), `lost ${NO_TOKEN}`);
});

test('a token that the API server does not know, two tokens, and what is no token are refused', async (t) => {
  const { address, tokens } = await secured(t);
  tokens.set('good', owner('ann'));
  t.is(await list(dial(t, address, { token: 'forged' })), BAD_TOKEN);
  const client = dial(t, address);
  for (const value of ['', 'good', 'Basic good', 'Bearer', 'Bearer  ', 'Bearer good good']) {
    const metadata = new Metadata();
    metadata.set('authorization', value);
    t.is(await outcome(client, MappingService.list, {}, metadata), NO_TOKEN, value);
  }
  const two = new Metadata();
  two.add('authorization', 'Bearer good');
  two.add('authorization', 'Bearer forged');
  // HTTP/2 joins what is sent twice, and grpc-js takes only the first of it.
  t.not(await outcome(client, MappingService.list, {}, two), 'OK');
});

test('a client reads what RBAC lets it read, verb by verb and namespace by namespace', async (t) => {
  const { address, tokens, rights } = await secured(t);
  tokens.set('ann', owner('ann'));
  rights.add('ann list shop').add('ann get bank');
  const client = dial(t, address, { token: 'ann' });
  t.is(await list(client, 'shop'), 'OK');
  t.is(await list(client, 'bank'), 'PERMISSION_DENIED the caller may not read this namespace');
  t.is(await list(client), 'PERMISSION_DENIED the caller may not read all namespaces: name one');
  t.is(await outcome(client, MappingService.get, { namespace: 'bank', pod: 'a' }), 'OK');
  t.is(
    await outcome(client, NodeService.listNodes, {}),
    'PERMISSION_DENIED the caller may not read all namespaces: name one',
  );
  rights.add('ann list *');
  t.is(await list(client), 'OK');
  t.is(await outcome(client, NodeService.listNodes, {}), 'OK');
});

test('a client that may read everything may still not report', async (t) => {
  const { address, tokens, rights, cluster } = await secured(t);
  tokens.set('ann', owner('ann'));
  rights.add('ann list *');
  const { heard } = agent(t, [address], { connect: grpcConnector(channelOf({ token: 'ann' })) });
  t.is(await verdict(heard), 'lost PERMISSION_DENIED only agents report');
  t.is(cluster.mappings.size, 0);
});

test('an agent reports for its node, with the node in its token or with its pod', async (t) => {
  const { address, tokens, identities, cluster } = await secured(t);
  tokens.set('new', agentOwner('berth-agent-1', 'uid-1', 'node-a'));
  tokens.set('old', agentOwner('berth-agent-2', 'uid-2'));
  identities.nodes.set('berth-agent-2 uid-2', 'node-b');
  const registry = new MappingRegistry();
  registry.set('node-a', mapping('web'), NOW);
  agent(t, [address], { node: 'node-a', registry, connect: grpcConnector(channelOf({ token: 'new' })) });
  agent(t, [address], { node: 'node-b', connect: grpcConnector(channelOf({ token: 'old' })) });
  await eventually(() => cluster.count.heard === 2 && cluster.mappings.size === 1);
  t.is(await list(dial(t, address, { token: 'new' })), 'PERMISSION_DENIED an agent reports and reads nothing');
});

test('V17: the agent of one node cannot speak for another, whatever it says in its Hello', async (t) => {
  const { address, tokens, identities, cluster, heard } = await secured(t);
  tokens.set('a', agentOwner('berth-agent-1', 'uid-1', 'node-a'));
  tokens.set('stale', agentOwner('berth-agent-9', 'uid-9'));
  identities.nodes.set('berth-agent-9 uid-8', 'node-b');
  const registry = new MappingRegistry();
  registry.set('node-b', mapping('web'), NOW);
  const thief = agent(t, [address], { node: 'node-b', registry, connect: grpcConnector(channelOf({ token: 'a' })) });
  t.is(await verdict(thief.heard), 'lost PERMISSION_DENIED hello.node: the caller may not speak for node node-b');
  t.true(heard.includes('impostor node-a as node-b'));
  t.is(cluster.mappings.size, 0);
  // The token of a pod that has been replaced by one of the same name.
  const old = agent(t, [address], { node: 'node-b', connect: grpcConnector(channelOf({ token: 'stale' })) });
  t.regex(await verdict(old.heard), /PERMISSION_DENIED the token is bound to no pod of an agent/);
});

test('V17: a token of the agents that was made by hand is good for no node', async (t) => {
  const { address, tokens } = await secured(t);
  tokens.set('made', owner(AGENT_ACCOUNT));
  const { heard } = agent(t, [address], { connect: grpcConnector(channelOf({ token: 'made' })) });
  t.is(await verdict(heard), 'lost PERMISSION_DENIED the token is bound to no pod of an agent: mount a projected one');
});

test('while the API server is away nobody is taken for somebody else: callers are to try again', async (t) => {
  const { address, tokens, identities, reported } = await secured(t);
  tokens.set('ann', owner('ann'));
  tokens.set('old', agentOwner('berth-agent-1', 'uid-1'));
  identities.away = true;
  t.is(
    await list(dial(t, address, { token: 'ann' })),
    'UNAVAILABLE the API server cannot be asked who calls: try again',
  );
  t.is(reported.length, 1);
  identities.away = false;
  identities.listed = false;
  const { heard } = agent(t, [address], { connect: grpcConnector(channelOf({ token: 'old' })) });
  t.is(await verdict(heard), 'lost UNAVAILABLE the pods of the agents are not known yet: try again');
});

test('certificates of clients: readers read everything, agents report for the node of their name', async (t) => {
  const clients = authority('clients');
  const ca = authority();
  const { address, cluster } = await secured(t, { material: { ...serverOf(ca), clientAuthorities: clients.cert } });
  const by = (subject: string) => ({ material: { authorities: ca.cert, identity: clientOf(clients, subject) } });
  t.is(await list(dial(t, address, by('/O=berth:readers/CN=dash'))), 'OK');
  t.is(await list(dial(t, address, by('/O=nobody/CN=dash'))), NO_TOKEN);
  t.regex(await list(dial(t, address, by('/O=berth:agents/CN=Not a node'))), /^UNAUTHENTICATED the certificate of/);
  const good = agent(t, [address], { connect: grpcConnector(channelOf(by('/O=berth:agents/CN=node-a'))) });
  await eventually(() => cluster.count.heard === 1);
  t.regex(await verdict(good.heard), /^connected/);
  const bad = agent(t, [address], { connect: grpcConnector(channelOf(by('/O=berth:agents/CN=node-b'))) });
  t.is(await verdict(bad.heard), 'lost PERMISSION_DENIED hello.node: the caller may not speak for node node-a');
  t.regex(
    await list(
      dial(t, address, { material: { authorities: ca.cert, identity: clientOf(ca, '/O=berth:readers/CN=x') } }),
    ),
    /^UNAVAILABLE/,
  );
});

test('a client talks to nobody but the server that it was told of', async (t) => {
  const { address, tokens } = await secured(t);
  tokens.set('ann', owner('ann'));
  t.regex(await list(dial(t, address, { material: { authorities: authority().cert } })), /^UNAVAILABLE/);
  t.regex(await list(dial(t, address, { serverName: 'elsewhere.example' })), /^UNAVAILABLE/);
  t.regex(await list(dial(t, address, { serverName: 'localhost' })), /^UNAUTHENTICATED/);
});

test('a token is never sent but over TLS', (t) => {
  const call = channelOf({ token: 'canary' });
  t.true(call._isSecure());
  const plain = credentials.createInsecure();
  t.throws(() => plain.compose(credentials.createFromMetadataGenerator((_, answer) => answer(null, new Metadata()))));
  t.notThrows(() => new Client('127.0.0.1:1', call).close());
});

test('V16: every method that is served has a rule, and one without is denied to everybody', (t) => {
  for (const method of [...Object.values(MappingService), ...Object.values(NodeService)]) {
    t.throws(() => ruleOf(method).admit({ kind: 'agent', node: 'node-a' }));
  }
  for (const kind of ['loopback', 'agent'] as const) {
    t.throws(() => ruleOf({}).admit({ kind, node: 'node-a' }), { message: 'nobody may call this method' });
  }
});
