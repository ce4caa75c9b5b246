/** The client and an aggregator over TLS: whom it trusts, who it says it is, and what it says when that does not fit. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import { aggregator } from '../rpc/clusterfixture.ts';
import { authority, clientOf, serverOf } from '../rpc/tls/material.ts';
import { CA, owner, secured } from '../rpc/tls/secured.ts';
import { berth } from './terminal.ts';

const TOKEN = 'header.claims.signature';

function files(t: ExecutionContext, texts: Readonly<Record<string, string>>): (name: string) => string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-client-tls-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  for (const [name, text] of Object.entries(texts)) writeFileSync(join(directory, name), text);
  return (name) => join(directory, name);
}

async function ann(t: ExecutionContext) {
  const served = await secured(t);
  served.tokens.set(TOKEN, owner('ann'));
  served.rights.add('ann list shop');
  const file = files(t, {
    ca: CA.cert,
    other: authority('other').cert,
    token: `${TOKEN}\n`,
    bad: 'unknown.to.everybody',
  });
  return { ...served, file };
}

test('a token from a file says who asks; what its owner may not read is refused by name', async (t) => {
  const { address, file } = await ann(t);
  const flags = `--aggregator ${address} --aggregator-ca ${file('ca')} --aggregator-token ${file('token')}`;
  t.deepEqual(await berth(`list -n shop -o json ${flags}`).then(({ code, err }) => [code, err]), [
    0,
    'berth: no live mapping matches\n',
  ]);
  const { code, err } = await berth(`list -n bank ${flags}`);
  t.is(code, 1);
  t.is(err, `berth: the aggregator at ${address} answered: the caller may not read this namespace\n`);
});

test('a client certificate says who asks', async (t) => {
  const { address } = await secured(t, { material: { ...serverOf(CA), clientAuthorities: CA.cert } });
  const { cert, key } = clientOf(CA, '/O=berth:readers/CN=ann');
  const file = files(t, { ca: CA.cert, cert, key });
  const flags = `--aggregator-ca ${file('ca')} --aggregator-cert ${file('cert')} --aggregator-key ${file('key')}`;
  t.is((await berth(`nodes --aggregator ${address} ${flags}`)).code, 0);
});

test('the name in the certificate may be given where it is not the host', async (t) => {
  const { address } = await secured(t, { material: serverOf(CA, ['berth.example']) });
  const file = files(t, { ca: CA.cert });
  const flags = `--aggregator ${address} --aggregator-ca ${file('ca')}`;
  t.regex(
    (await berth(`list ${flags}`)).err,
    /^berth: the certificate of 127\.0\.0\.1:\d+ is made for another name: .*--aggregator-server-name\n$/,
  );
  // Far enough to be asked who we are.
  t.regex((await berth(`list ${flags} --aggregator-server-name berth.example`)).err, /does not know this caller/);
});

const WRONG: readonly (readonly [string, string, RegExp])[] = [
  ['another authority', '--aggregator-ca other --aggregator-token token', /is not to be trusted by --aggregator-ca/],
  ['no token', '--aggregator-ca ca', /does not know this caller: .*; give a token with --aggregator-token/],
  ['a token that nobody knows', '--aggregator-ca ca --aggregator-token bad', /does not know this caller/],
  [
    'a token file that is missing',
    '--aggregator-ca ca --aggregator-token none',
    /the token in .*none cannot be used: ENOENT/,
  ],
  ['no TLS', '', /is not available|answered/],
];
for (const [what, flags, message] of WRONG) {
  test(`with ${what} it says so: exit code 1, and no secret`, async (t) => {
    const { address, file } = await ann(t);
    const words = flags.split(' ').map((word) => (/^--|^$/.test(word) ? word : file(word)));
    const { code, out, err } = await berth(['list -n shop', `--aggregator=${address}`, ...words].join(' ').trim());
    t.deepEqual([code, out], [1, '']);
    t.regex(err, message);
    t.false(err.includes('signature') || err.includes('unknown.to'), err);
  });
}

test('TLS to a port that has none is told as that', async (t) => {
  const { address } = await aggregator(t);
  const file = files(t, { ca: CA.cert });
  const { err } = await berth(`list --aggregator ${address} --aggregator-ca ${file('ca')}`);
  t.regex(err, /^berth: 127\.0\.0\.1:\d+ speaks no TLS/);
});

test('files that cannot be used are an error before anything is sent', async (t) => {
  const file = files(t, { ca: 'no certificate' });
  for (const [name, message] of [
    ['ca', /it holds no certificate/],
    ['missing', /cannot be read: ENOENT/],
  ] as const) {
    const { code, err } = await berth(`list --aggregator 127.0.0.1:1 --aggregator-ca ${file(name)}`);
    t.is(code, 1);
    t.regex(err, message);
  }
});
