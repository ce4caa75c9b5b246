import test from 'ava';
import { ApiAuthorityStore } from '../../daemon/kube/authoritystore.ts';
import { settleAuthority } from '../../daemon/trust/authority.ts';
import { ManualClock } from './scratch.ts';
import { clientOf } from './standin/connected.ts';
import { StandIn } from './standin/server.ts';

const NAME = 'berth-aggregator-ca';

async function scene(made = true) {
  const server = await StandIn.start();
  const clock = new ManualClock();
  const client = clientOf(server.url, clock);
  if (made) {
    server.store.putData('Secret', 'berth-system', NAME);
    server.store.putData('ConfigMap', 'berth-system', NAME);
  }
  return {
    server,
    clock,
    store: () => new ApiAuthorityStore({ client, namespace: 'berth-system', name: NAME }),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

test('the authority is written into the empty Secret, and its certificate into the empty ConfigMap', async (t) => {
  await using s = await scene();
  const { signer, bundle } = await settleAuthority(s.store(), s.clock);
  const secret = s.server.store.data.get(`secrets/berth-system/${NAME}`);
  t.is(Buffer.from(secret?.data?.['tls.crt'] ?? '', 'base64').toString(), signer.cert);
  t.is(Buffer.from(secret?.data?.['tls.key'] ?? '', 'base64').toString(), signer.key);
  t.deepEqual(s.server.store.data.get(`configmaps/berth-system/${NAME}`)?.data, { 'ca.crt': bundle });
  const puts = s.server.asked.filter(({ method }) => method === 'PUT').length;
  t.deepEqual(await settleAuthority(s.store(), s.clock), { signer, bundle });
  t.is(s.server.asked.filter(({ method }) => method === 'PUT').length, puts);
});

test('of many replicas that begin at once the API server picks one, and all of them sign with it', async (t) => {
  await using s = await scene();
  const settled = await Promise.all(Array.from({ length: 5 }, () => settleAuthority(s.store(), s.clock)));
  t.is(new Set(settled.map(({ signer }) => signer.key)).size, 1);
});

test('what is missing or not allowed is told with the remedy', async (t) => {
  await using s = await scene(false);
  await t.throwsAsync(settleAuthority(s.store(), s.clock), {
    code: 'CONFIG_INVALID',
    message: /^the Secret berth-system\/berth-aggregator-ca is missing: apply deploy\/aggregator/,
  });
  s.server.fault = () => ({ kind: 'status', code: 403, reason: 'Forbidden' });
  await t.throwsAsync(settleAuthority(s.store(), s.clock), { message: /may not be read and replaced by this account/ });
});

test('V18: no error about the Secret holds a part of it', async (t) => {
  await using s = await scene();
  await settleAuthority(s.store(), s.clock);
  const { data } = s.server.store.data.get(`secrets/berth-system/${NAME}`) ?? {};
  const key = data?.['tls.key'] ?? '';
  for (const text of [`{"metadata":{},"data":{"tls.key":"${key}"}}`, `{"data":{"tls.key":${key}}`, key]) {
    s.server.fault = () => ({ kind: 'text', text });
    const error = await t.throwsAsync(settleAuthority(s.store(), s.clock));
    for (let one: unknown = error; one instanceof Error; one = one.cause)
      t.false(`${one.message}${one.stack}`.includes(key.slice(0, 12)));
  }
});
