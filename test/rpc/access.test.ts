import type { AddressInfo } from 'node:net';
import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import { systemClock } from '../../daemon/ops/clock.ts';
import { Admission } from '../../daemon/rpc/admission.ts';
import { type Authenticator, type Caller, trusting } from '../../daemon/rpc/caller.ts';
import { SERVER_LIMITS } from '../../daemon/rpc/clusterserver.ts';
import { listenGrpc } from '../../daemon/rpc/grpclistener.ts';
import { Guard } from '../../daemon/rpc/guard.ts';
import { Inbox } from '../../daemon/rpc/inbox.ts';
import { Outbox } from '../../daemon/rpc/outbox.ts';
import { Refusal } from '../../daemon/rpc/refusal.ts';
import { Strangers } from '../../daemon/rpc/strangers.ts';
import { HealthService, MappingService, NodeService } from '../../proto/service.ts';
import { aggregator, ask, clientOf, eventually, rawReport } from './clusterfixture.ts';

const HELLO = { hello: { node: 'node-a', bootId: 'b', epoch: 1, version: '1' } };

async function serverFor(t: Parameters<typeof aggregator>[0], caller: Caller) {
  const { address } = await aggregator(t, { authenticator: { authenticate: async () => caller } });
  const client = clientOf(t, address);
  const code = (call: Promise<unknown>) =>
    call.then(
      () => status.OK,
      (error: ServiceError) => error.code,
    );
  const report = async () => {
    const stream = rawReport(t, address);
    stream.write(HELLO);
    // Whichever comes first: what was accepted goes on, what was refused ends.
    let ended: status | undefined;
    stream.ended.then((end) => {
      ended = end.code;
    }, t.fail);
    await eventually(() => ended !== undefined || stream.responses.length > 0);
    return ended ?? status.OK;
  };
  return { client, code, report };
}

test('V17: an agent reports for its own node and for no other, and reads nothing', async (t) => {
  const own = await serverFor(t, { kind: 'agent', node: 'node-a' });
  t.is(await own.report(), status.OK);
  const other = await serverFor(t, { kind: 'agent', node: 'node-b' });
  t.is(await other.report(), status.PERMISSION_DENIED);
  for (const call of [
    ask(other.client, MappingService.list, {}),
    ask(other.client, MappingService.get, { namespace: 'a', pod: 'b' }),
    ask(other.client, NodeService.listNodes, {}),
  ]) {
    t.is(await other.code(call), status.PERMISSION_DENIED);
  }
});

test('a client reads the namespaces that it may read, and reports nothing', async (t) => {
  const asked: unknown[] = [];
  const { client, code, report } = await serverFor(t, {
    kind: 'client',
    mayRead: async (verb, namespace) => {
      asked.push([verb, namespace]);
      return namespace === 'shop';
    },
    mayGet: async () => false,
  });
  t.is(await code(ask(client, MappingService.get, { namespace: 'shop', pod: 'a' })), status.OK);
  t.is(await code(ask(client, MappingService.list, { filter: { namespace: 'shop' } })), status.OK);
  t.is(await code(ask(client, MappingService.get, { namespace: 'other', pod: 'a' })), status.PERMISSION_DENIED);
  t.is(await code(ask(client, MappingService.list, {})), status.PERMISSION_DENIED);
  t.is(await code(ask(client, NodeService.listNodes, {})), status.PERMISSION_DENIED);
  t.is(await report(), status.PERMISSION_DENIED);
  t.deepEqual(asked, [
    ['get', 'shop'],
    ['list', 'shop'],
    ['get', 'other'],
    ['list', undefined],
    ['list', undefined],
  ]);
});

test('who is not known gets no further, but health may be asked by anybody', async (t) => {
  const { address } = await aggregator(t, {
    authenticator: { authenticate: () => Promise.reject(new Refusal(status.UNAUTHENTICATED, 'no token')) },
  });
  const client = clientOf(t, address);
  await t.throwsAsync(ask(client, MappingService.list, {}), { message: /UNAUTHENTICATED: no token/ });
  const stream = rawReport(t, address);
  stream.write(HELLO);
  t.like(await stream.ended, { code: status.UNAUTHENTICATED, details: 'no token' });
  t.like(await ask(client, HealthService.check, {}), { status: 1 });
});

function guarding(authenticator: Authenticator, report: (error: Error) => void) {
  const { inbox: limits, strangers: ofStrangers, outbox: ofOutbox } = SERVER_LIMITS;
  const inbox = {
    known: new Inbox({ limits, clock: systemClock }),
    anybody: new Inbox({ limits, clock: systemClock }),
  };
  const strangers = new Strangers(ofStrangers, systemClock);
  const admission = new Admission({ authenticator, inbox, strangers, report });
  return { admission, guard: new Guard(admission, new Outbox({ limits: ofOutbox, clock: systemClock }), report) };
}

/** A server with one method, whoever may call it. */
async function serving<D extends object>(
  t: ExecutionContext,
  definition: D,
  handlers: { readonly [K in keyof D]: unknown },
  authenticator: Authenticator = trusting,
) {
  const defects: Error[] = [];
  const report = (error: Error) => defects.push(error);
  const { admission, guard } = guarding(authenticator, report);
  const abort = new AbortController();
  let port = 0;
  const { closed } = await listenGrpc({
    services: [guard.guarded(definition, handlers)],
    interceptor: admission.interceptor,
    limits: {},
    connections: { ofAll: 10, ofOne: 10 },
    listen: async (listener) => {
      await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve));
      ({ port } = listener.address() as AddressInfo);
      return () => {};
    },
    onStop: () => {},
    report,
    signal: abort.signal,
    graceMs: 100,
  });
  t.teardown(async () => {
    abort.abort();
    await closed;
  });
  return { client: clientOf(t, `127.0.0.1:${port}`), defects };
}

test('V16: a method that no rule names is denied to everybody', async (t) => {
  const { path: _, ...method } = MappingService.get;
  const added = { ...method, path: '/berth.v1.MappingService/Added' };
  const { client, defects } = await serving(t, { added }, { added: () => t.fail('it was called') });
  await t.throwsAsync(ask(client, added, {}), { message: /PERMISSION_DENIED: nobody may call this method/ });
  t.deepEqual(defects, []);
});

test('a failing authenticator is a defect, and lets nobody in', async (t) => {
  const authenticate = () => Promise.reject(new Error('broken'));
  const { get } = MappingService;
  const { client, defects } = await serving(t, { get }, { get: () => t.fail('it was called') }, { authenticate });
  await t.throwsAsync(ask(client, get, {}), { message: /INTERNAL: the server failed to answer/ });
  t.is(defects[0]?.message, 'broken');
});

test('a call that did not come through the admission reaches no handler', async (t) => {
  const defects: Error[] = [];
  const report = (error: Error) => defects.push(error);
  const { guard } = guarding(trusting, report);
  const [, handlers] = guard.guarded({ get: MappingService.get }, { get: () => t.fail('it was called') });
  const { get } = handlers as { get: (call: object, reply: (error: Refusal) => void) => void };
  const refusal = await new Promise<Refusal>((resolve) => get({ request: {}, metadata: new Metadata() }, resolve));
  t.is(refusal.code, status.PERMISSION_DENIED);
  t.deepEqual(defects, []);
});
