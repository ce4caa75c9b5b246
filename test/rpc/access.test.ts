import { type ServiceError, status } from '@grpc/grpc-js';
import test from 'ava';
import { systemClock } from '../../daemon/ops/clock.ts';
import type { Caller } from '../../daemon/rpc/caller.ts';
import { Guard } from '../../daemon/rpc/guard.ts';
import { OUTBOX_LIMITS, Outbox } from '../../daemon/rpc/outbox.ts';
import { Refusal } from '../../daemon/rpc/refusal.ts';
import { HealthService, MappingService, NodeService } from '../../proto/service.ts';
import { aggregator, ask, clientOf, eventually, rawReport } from './clusterfixture.ts';

const outbox = new Outbox({ limits: OUTBOX_LIMITS, clock: systemClock, disconnect: () => {} });
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

test('V16: a method that no rule names is denied to everybody', async (t) => {
  const guard = new Guard({ authenticate: async () => ({ kind: 'loopback' }) }, outbox, (error) =>
    t.fail(error.message),
  );
  const definition = { added: { path: '/berth.v1.MappingService/Get', requestStream: false, responseStream: false } };
  const [, handlers] = guard.guarded(definition, { added: () => t.fail('it was called') });
  const { added } = handlers as { added: (call: object, reply: (error: Refusal) => void) => void };
  const refusal = await new Promise<Refusal>((resolve) => added({ request: {} }, resolve));
  t.is(refusal.code, status.PERMISSION_DENIED);
});

test('a failing authenticator is a defect, and lets nobody in', async (t) => {
  const defects: Error[] = [];
  const guard = new Guard({ authenticate: () => Promise.reject(new Error('broken')) }, outbox, (error) =>
    defects.push(error),
  );
  const [, handlers] = guard.guarded({ get: MappingService.get }, { get: () => t.fail('it was called') });
  const { get } = handlers as { get: (call: object, reply: (error: Refusal) => void) => void };
  const refusal = await new Promise<Refusal>((resolve) => get({ request: {} }, resolve));
  t.is(refusal.code, status.INTERNAL);
  t.is(defects[0]?.message, 'broken');
});
