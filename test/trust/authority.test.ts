import { X509Certificate } from 'node:crypto';
import test from 'ava';
import { settleAuthority, TIMES } from '../../daemon/trust/authority.ts';
import { MemoryAuthorityStore } from '../../daemon/trust/authoritystore.double.ts';
import { issueServer, makeAuthority } from '../../daemon/trust/certificates.ts';
import { type Identity, readCertificates } from '../../daemon/trust/identity.ts';
import { IdentityKeeper } from '../../daemon/trust/serveridentity.ts';
import { ManualClock, until } from '../kube/scratch.ts';

const DAY = 86_400_000;

/** Who trusts the bundle trusts the server. */
function trusts(bundle: string, { cert }: Identity): boolean {
  const leaf = new X509Certificate(cert);
  return readCertificates(bundle, 'bundle').some((ca) => leaf.checkIssued(ca) && leaf.verify(ca.publicKey));
}

test('the first replica makes the authority, and every other one takes it', async (t) => {
  const store = new MemoryAuthorityStore();
  const clock = new ManualClock();
  const first = await settleAuthority(store, clock);
  const second = await settleAuthority(store, clock);
  t.deepEqual(second, first);
  t.is(store.writes, 1);
  t.is(store.published, first.signer.cert);
  t.is(new X509Certificate(first.signer.cert).validToDate.getTime(), clock.now() + TIMES.lifeMs);
});

test('of two replicas that begin at once one is believed by both', async (t) => {
  const store = new MemoryAuthorityStore();
  const clock = new ManualClock();
  const both = await Promise.all([settleAuthority(store, clock), settleAuthority(store, clock)]);
  t.deepEqual(both[0], both[1]);
  t.is(store.writes, 1);
});

test('a place that others change again and again is given up with a message', async (t) => {
  const store = new MemoryAuthorityStore();
  store.meanwhile = () => store.write({});
  await t.throwsAsync(settleAuthority(store, new ManualClock()), {
    message: 'Secret berth-system/berth-aggregator-ca: it is changed by others again and again',
  });
});

test('over many turns a client that took the bundle half a year ago, and one that takes it now, trust every server', async (t) => {
  const store = new MemoryAuthorityStore();
  const clock = new ManualClock();
  const bundles: string[] = [];
  const signers = new Set<string>();
  for (let month = 0; month < 20 * 12; month++) {
    const { signer, bundle } = await settleAuthority(store, clock);
    signers.add(signer.cert);
    const server = issueServer(signer, ['localhost'], { from: clock.now(), to: clock.now() + 7 * DAY });
    t.true(trusts(bundle, server));
    // Each look takes one step; it is looked at every ten minutes.
    const copied = bundles.at(-6) ?? bundles[0] ?? bundle;
    t.true(trusts(copied, server), `month ${month}`);
    t.true(new X509Certificate(server.cert).validToDate.getTime() > clock.now());
    t.true(readCertificates(bundle, 'bundle').length <= 3);
    bundles.push(bundle);
    clock.advance(30 * DAY);
  }
  t.true(signers.size >= 4 && signers.size <= 6, `${signers.size} authorities in 20 years`);
});

test('an authority that ended while nobody looked is replaced at once', async (t) => {
  const store = new MemoryAuthorityStore();
  const clock = new ManualClock();
  const { signer } = await settleAuthority(store, clock);
  clock.advance(TIMES.lifeMs + DAY);
  const later = await settleAuthority(store, clock);
  t.not(later.signer.cert, signer.cert);
  t.false(later.bundle.includes(signer.cert));
});

test('V27: what is no authority is refused with the remedy, and never overwritten', async (t) => {
  const clock = new ManualClock();
  const good = makeAuthority('x', { from: clock.now(), to: clock.now() + DAY });
  const leaf = issueServer(good, ['localhost'], { from: clock.now(), to: clock.now() + DAY });
  const cases: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{ 'tls.crt': 'nonsense', 'tls.key': good.key }, /tls\.crt: it holds no certificate/],
    [{ 'tls.crt': good.cert }, /tls\.key: it holds no private key/],
    [{ 'tls.key': good.key }, /tls\.crt: it holds no certificate/],
    [{ 'tls.crt': good.cert, 'tls.key': leaf.key }, /tls\.key: it is not the key/],
    [{ 'tls.crt': leaf.cert, 'tls.key': leaf.key }, /tls\.crt: it is not the certificate of an authority/],
    [{ 'tls.crt': good.cert, 'tls.key': good.key, 'next.crt': 'x' }, /next\.crt/],
    [{ 'tls.crt': good.cert, 'tls.key': good.key, 'before.crt': 'x' }, /before\.crt/],
  ];
  for (const [data, message] of cases) {
    const store = new MemoryAuthorityStore();
    store.data = data;
    const error = await t.throwsAsync(settleAuthority(store, clock), { code: 'CONFIG_INVALID', message });
    t.regex(error.message, /empty its data: a new authority is then made/);
    t.is(store.writes, 0);
    t.false(error.message.includes(good.key.split('\n')[1] ?? ''));
  }
});

test('a certificate is renewed at half of its life, and when another authority signs', async (t) => {
  const store = new MemoryAuthorityStore();
  const clock = new ManualClock();
  const shown: Identity[] = [];
  using keeper = new IdentityKeeper({
    store,
    names: ['localhost'],
    clock,
    random: () => 1,
    onIdentity: (identity) => shown.push(identity),
    onError: (error) => t.fail(error.message),
  });
  await keeper.start();
  t.is(shown.length, 1);
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 600_000) {
      clock.advance(600_000);
      await until(() => clock.pending.length === 1);
    }
  };
  await pass(3.4 * DAY);
  t.is(shown.length, 1);
  await pass(0.2 * DAY);
  t.is(shown.length, 2);
  // Somebody took the authority away: it is made anew.
  store.write({});
  await pass(600_000);
  t.is(shown.length, 3);
  t.true(trusts(store.published, shown[2] as Identity));
  t.false(trusts(store.published, shown[1] as Identity));
});

test('while the place cannot be reached what was good stays in use, and it is tried again', async (t) => {
  const store = new MemoryAuthorityStore();
  const clock = new ManualClock();
  const errors: Error[] = [];
  let shown = 0;
  const read = store.read.bind(store);
  store.read = () => Promise.reject(new Error('away'));
  using keeper = new IdentityKeeper({
    store,
    names: ['localhost'],
    clock,
    random: () => 1,
    onIdentity: () => shown++,
    onError: (error) => errors.push(error),
  });
  await keeper.start();
  t.is(errors.length, 1);
  clock.advance(2_000);
  await until(() => errors.length === 2);
  store.read = read;
  await until(() => clock.pending.length === 1);
  clock.advance(60_000);
  await until(() => shown === 1);
  t.pass();
});
