import { type Client, Metadata, status } from '@grpc/grpc-js';
import test from 'ava';
import { OldReflectionService, ReflectionService } from '../../proto/service.ts';
import { agent, aggregator, clientOf, eventually, listed } from './clusterfixture.ts';
import { fixture, mapping, NOW } from './fixture.ts';
import { type Asking, asking, Stranger } from './stranger.ts';
import { agentOwner, dial, owner, secured } from './tls/secured.ts';

const METHOD = ReflectionService.serverReflectionInfo;
const STANDARD = [
  'grpc.health.v1.Health',
  'grpc.reflection.v1.ServerReflection',
  'grpc.reflection.v1alpha.ServerReflection',
];
const SERVICES = ['berth.v1.MappingService', 'berth.v1.NodeService', 'berth.v1.ReportService', ...STANDARD];

for (const [version, method] of [
  ['v1', METHOD],
  ['v1alpha', OldReflectionService.serverReflectionInfo],
] as const) {
  test(`a client that knows the reflection protocol ${version} alone finds the services, and calls them`, async (t) => {
    const { address } = await aggregator(t);
    const { registry } = agent(t, [address]);
    registry.set('node-a', mapping('p', { hostPort: 23_117 }), NOW);
    const client = clientOf(t, address);
    while ((await listed(client)).length === 0);
    const stranger = new Stranger(client, method as Asking);
    t.deepEqual(await stranger.services(), SERVICES);
    const answer = await stranger.call(
      'berth.v1.MappingService',
      'List',
      { filter: { protocol: 'PROTOCOL_TCP' } },
      new Metadata(),
    );
    t.like(answer, {
      mappings: [{ pod: 'p', host_port: 23_117, protocol: 'PROTOCOL_TCP', node_addresses: ['192.0.2.10'] }],
      freshness: { complete: { nodes_heard: 1, nodes_known: 1 } },
    });
    t.like(await stranger.call('grpc.health.v1.Health', 'Check', {}, new Metadata()), { status: 'SERVING' });
    for (const service of SERVICES)
      t.is((await stranger.learn(service)).lookupService(service).fullName, `.${service}`);
    stranger.close();
  });
}

test('an agent tells the services of its socket', async (t) => {
  const { socketPath } = await fixture(t);
  const stranger = new Stranger(clientOf(t, `unix:${socketPath}`), METHOD);
  t.deepEqual(await stranger.services(), ['berth.v1.MappingService', ...STANDARD]);
  stranger.close();
});

const NAMES: readonly (readonly [name: string, files: readonly string[] | status])[] = [
  ['berth.v1.NodeService.ListNodes', ['node', 'timestamp', 'mapping', 'report']],
  ['berth.v1.Mapping', ['mapping', 'timestamp']],
  ['berth.v1.Mapping.host_port', ['mapping', 'timestamp']],
  ['berth.v1.Change.change', ['mapping', 'timestamp']],
  ['berth.v1.PROTOCOL_TCP', ['mapping', 'timestamp']],
  ['grpc.health.v1.HealthCheckResponse.ServingStatus', ['health']],
  ['grpc.health.v1.HealthCheckResponse.SERVING', ['health']],
  ['google.protobuf.Timestamp', ['timestamp']],
  ['berth.v1', status.NOT_FOUND],
  ['berth.v1.Mapping.nothing', status.NOT_FOUND],
  ['__proto__', status.NOT_FOUND],
  ['', status.NOT_FOUND],
  ['x'.repeat(1_025), status.INVALID_ARGUMENT],
];

/** The names of files in an answer, without folders and endings; or the code of its error. */
async function answered(client: Client, request: Parameters<ReturnType<typeof asking>['ask']>[0]) {
  const { ask, call } = asking(client, METHOD);
  const answer = await ask(request);
  call.cancel();
  if (answer?.errorResponse) return answer.errorResponse.errorCode;
  return (answer?.fileDescriptorResponse?.fileDescriptorProto ?? []).map(
    // Its first field is its name.
    (bytes) => /([a-z]+)\.proto/.exec(Buffer.from(bytes).toString('latin1'))?.[1],
  );
}

test('a full name of anything leads to its file and what that needs', async (t) => {
  const client = clientOf(t, (await aggregator(t)).address);
  for (const [name, files] of NAMES) t.deepEqual(await answered(client, { fileContainingSymbol: name }), files, name);
});

test('a file is found by the name that it is imported by, and no other file of the host is', async (t) => {
  const client = clientOf(t, (await aggregator(t)).address);
  t.deepEqual(await answered(client, { fileByFilename: 'berth/v1/mapping.proto' }), ['mapping', 'timestamp']);
  for (const name of ['mapping.proto', '/etc/passwd', '../package.json', '']) {
    t.is(await answered(client, { fileByFilename: name }), status.NOT_FOUND, name);
  }
});

test('no message has extensions, and who asks for nothing hears so', async (t) => {
  const { ask, call } = asking(clientOf(t, (await aggregator(t)).address), METHOD);
  const numbers = await ask({ host: 'somewhere', allExtensionNumbersOfType: 'berth.v1.Mapping' });
  t.like(numbers, { validHost: 'somewhere', originalRequest: { host: 'somewhere' } });
  t.like(numbers?.allExtensionNumbersResponse, { baseTypeName: 'berth.v1.Mapping', extensionNumber: [] });
  t.is((await ask({ allExtensionNumbersOfType: 'none' }))?.errorResponse?.errorCode, status.NOT_FOUND);
  const extension = { containingType: 'berth.v1.Mapping', extensionNumber: 100 };
  t.is((await ask({ fileContainingExtension: extension }))?.errorResponse?.errorCode, status.NOT_FOUND);
  t.is((await ask({}))?.errorResponse?.errorCode, status.INVALID_ARGUMENT);
  call.cancel();
});

test('what a client was sent on its stream it is not sent again, but for what it asks for by name', async (t) => {
  const { ask, call } = asking(clientOf(t, (await aggregator(t)).address), METHOD);
  const count = async (name: string) =>
    (await ask({ fileContainingSymbol: name }))?.fileDescriptorResponse?.fileDescriptorProto?.length;
  t.is(await count('berth.v1.MappingService'), 2);
  t.is(await count('berth.v1.ReportService'), 1);
  t.is(await count('berth.v1.MappingService'), 1);
  call.cancel();
});

test('who asks must be known, and must not be an agent', async (t) => {
  const { address, tokens } = await secured(t);
  tokens.set('ann', owner('ann')).set('agent', agentOwner('p', 'u', 'node-a'));
  for (const method of [METHOD, OldReflectionService.serverReflectionInfo]) {
    const end = async (options: Parameters<typeof dial>[2]) => {
      const { call, ended } = asking(dial(t, address, options), method as Asking);
      call.write({ listServices: '' });
      return status[(await ended).code];
    };
    t.is(await end({}), 'UNAUTHENTICATED');
    t.is(await end({ token: 'forged' }), 'UNAUTHENTICATED');
    t.is(await end({ token: 'agent' }), 'PERMISSION_DENIED');
    const stranger = new Stranger(dial(t, address, { token: 'ann' }), method as Asking);
    t.deepEqual(await stranger.services(), SERVICES);
    stranger.close();
  }
});

test('the clients that ask at once, and what one of them may ask, have a limit', async (t) => {
  const { address } = await aggregator(t);
  const client = clientOf(t, address);
  const streams = Array.from({ length: 64 }, () => asking(client, METHOD));
  for (const { ask } of streams) t.truthy(await ask({ listServices: '' }));
  const late = asking(client, METHOD);
  late.call.write({ listServices: '' });
  t.is((await late.ended).code, status.RESOURCE_EXHAUSTED);
  const [first, second] = streams;
  for (let asked = 1; asked < 1_000; asked += 1) t.truthy(await first?.ask({ fileByFilename: '' }));
  first?.call.write({ listServices: '' });
  t.is((await first?.ended)?.code, status.RESOURCE_EXHAUSTED);
  // It has left its place.
  const next = asking(client, METHOD);
  t.truthy(await next.ask({ listServices: '' }));
  for (const { call } of [...streams, next]) call.cancel();
  t.is((await second?.ended)?.code, status.CANCELLED);
});

test('who asks and never reads is not read either, and delays nobody', async (t) => {
  const { address } = await aggregator(t);
  const client = clientOf(t, address);
  const greedy = asking(client, METHOD);
  greedy.call.pause();
  // An answer is twelve times as long as its question: 990 of them are beyond every window and buffer in between.
  for (let asked = 0; asked < 990; asked += 1) greedy.call.write({ fileContainingSymbol: 'berth.v1.MappingService' });
  const other = asking(client, METHOD);
  t.truthy(await other.ask({ listServices: '' }));
  let read = 0;
  greedy.call.on('data', () => {
    read += 1;
  });
  greedy.call.resume();
  await eventually(() => read === 990);
  for (const { call } of [greedy, other]) call.cancel();
  t.pass();
});

test('the streams end when the aggregator stops', async (t) => {
  const { address, stop } = await aggregator(t);
  const { ask, ended } = asking(clientOf(t, address), METHOD);
  t.truthy(await ask({ listServices: '' }));
  await stop();
  t.is((await ended).code, status.UNAVAILABLE);
});

test('the client half-closes, and so does the server', async (t) => {
  const { address } = await aggregator(t);
  const { ask, call } = asking(clientOf(t, address), METHOD);
  await ask({ listServices: '' });
  const code = new Promise((resolve) => call.once('status', (end) => resolve(end.code)));
  call.end();
  call.resume();
  t.is(await code, status.OK);
});
