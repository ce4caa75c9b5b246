import { execFileSync } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, createSecureContext, createServer } from 'node:tls';
import test from 'ava';
import fc from 'fast-check';
import { issueServer, makeAuthority } from '../../daemon/trust/certificates.ts';
import { readCertificates, readIdentity } from '../../daemon/trust/identity.ts';

const YEAR = 365 * 86_400_000;
const now = Date.now();
const authority = makeAuthority('test authority', { from: now, to: now + YEAR });
const WHERE = { cert: '/tls/tls.crt', key: '/tls/tls.key' };

test('a server with a certificate of the authority is trusted under each of its names, and under no other', async (t) => {
  const identity = issueServer(authority, ['localhost', 'a.berth-system.svc', '127.0.0.1', '::1'], {
    from: now,
    to: now + 86_400_000,
  });
  const server = createServer({ ...identity });
  t.teardown(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const dial = async (servername: string) => {
    const socket = connect({ port, host: '127.0.0.1', servername, ca: authority.cert });
    try {
      await once(socket, 'secureConnect');
      return 'trusted';
    } catch (error) {
      return (error as NodeJS.ErrnoException).code;
    } finally {
      socket.destroy();
    }
  };
  t.is(await dial('localhost'), 'trusted');
  t.is(await dial('a.berth-system.svc'), 'trusted');
  t.is(await dial('b.berth-system.svc'), 'ERR_TLS_CERT_ALTNAME_INVALID');
  const leaf = new X509Certificate(identity.cert);
  t.is(leaf.checkIP('127.0.0.1'), '127.0.0.1');
  t.is(leaf.checkIP('::1'), '::1');
  t.is(leaf.checkIP('127.0.0.2'), undefined);
});

test('the certificates say what they are for, and for how long', (t) => {
  const ca = new X509Certificate(authority.cert);
  t.true(ca.ca);
  t.true(ca.verify(ca.publicKey));
  const to = Math.floor(now / 1_000) * 1_000 + 86_400_000;
  const leaf = new X509Certificate(issueServer(authority, ['localhost'], { from: now, to }).cert);
  t.false(leaf.ca);
  t.true(leaf.verify(ca.publicKey));
  t.true(leaf.checkIssued(ca));
  t.deepEqual(leaf.keyUsage, ['1.3.6.1.5.5.7.3.1']);
  t.is(leaf.validToDate.getTime(), to);
  // Clocks that are behind see it as valid too.
  t.true(leaf.validFromDate.getTime() < now - 3_500_000);
  t.not(leaf.serialNumber, ca.serialNumber);
});

test('no certificate outlives the authority that signed it', (t) => {
  const leaf = new X509Certificate(issueServer(authority, ['localhost'], { from: now, to: now + 2 * YEAR }).cert);
  t.is(leaf.validToDate.getTime(), new X509Certificate(authority.cert).validToDate.getTime());
});

test('two authorities of one name have different names in their certificates', (t) => {
  const other = makeAuthority('test authority', { from: now, to: now + YEAR });
  t.not(new X509Certificate(other.cert).subject, new X509Certificate(authority.cert).subject);
});

test('a certificate and a key that do not belong together are refused', (t) => {
  const one = issueServer(authority, ['localhost'], { from: now, to: now + YEAR });
  const other = issueServer(authority, ['localhost'], { from: now, to: now + YEAR });
  t.deepEqual(readIdentity(one.cert, one.key, WHERE), one);
  const error = t.throws(() => readIdentity(one.cert, other.key, WHERE), { code: 'CONFIG_INVALID' });
  t.is(
    error?.message,
    '/tls/tls.key: it is not the key of the certificate in /tls/tls.crt: give the two that belong together',
  );
});

const UNUSABLE: readonly (readonly [string, string, RegExp])[] = [
  ['an empty file', '', /holds no certificate/],
  ['a key in its place', authority.key, /holds no certificate/],
  [
    'a certificate that was cut',
    `${authority.cert.slice(0, 200)}\n-----END CERTIFICATE-----`,
    /certificate 1 cannot be read/,
  ],
  [
    'a second certificate that is none',
    `${authority.cert}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----`,
    /certificate 2/,
  ],
  ['more than a megabyte', 'x'.repeat(1024 * 1024 + 1), /more than 1048576 bytes/],
  ['too many', authority.cert.repeat(513), /more than 512 certificates/],
];
for (const [what, pem, message] of UNUSABLE) {
  test(`V27: a bundle with ${what} is refused with a message`, (t) => {
    t.throws(() => readCertificates(pem, '/ca.crt'), { code: 'CONFIG_INVALID', message });
  });
}

test('V27: certificates and keys with any byte changed, cut or added never do worse than a clear message', (t) => {
  const damage = fc.record({
    at: fc.nat(authority.cert.length),
    drop: fc.nat(40),
    put: fc.oneof(
      fc.string({ unit: 'binary', maxLength: 20 }),
      fc.constantFrom('-----BEGIN CERTIFICATE-----', '\0', '\r\n'),
    ),
    key: fc.boolean(),
  });
  fc.assert(
    fc.property(fc.array(damage, { minLength: 1, maxLength: 4 }), (damages) => {
      let { cert, key } = authority;
      for (const { at, drop, put, key: ofKey } of damages) {
        if (ofKey) key = key.slice(0, at) + put + key.slice(at + drop);
        else cert = cert.slice(0, at) + put + cert.slice(at + drop);
      }
      try {
        readIdentity(cert, key, WHERE);
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        if (code !== 'CONFIG_INVALID') throw error;
        if (!/^\/tls\/tls\.(crt|key): its? /.test(message) && !/the key is encrypted/.test(message)) throw error;
      }
    }),
    { numRuns: 500 },
  );
  t.pass();
});

/** Of a certificate or key as PEM, with bytes inside changed: what stands around them is as it should be. */
function withBytes(pem: string, changes: readonly (readonly [at: number, to: number])[]): string {
  return pem.replace(/(-----BEGIN [^-]+-----)([^-]+)(-----END [^-]+-----)/, (_, begin, body, end) => {
    const bytes = Buffer.from(body, 'base64');
    for (const [at, to] of changes) bytes[at % bytes.length] = to;
    return `${begin}\n${bytes.toString('base64').replace(/.{64}/g, '$&\n')}\n${end}`;
  });
}

test('V27: whatever is in a certificate and its key, what is taken can be shown over TLS, and the rest is refused with a message', (t) => {
  const one = issueServer(authority, ['localhost'], { from: now, to: now + 86_400_000 });
  const change = fc.tuple(fc.nat(2_000), fc.nat(255));
  const before = fc.constantFrom(
    '',
    'some words\n',
    one.cert.replaceAll('CERTIFICATE', 'X509 CERTIFICATE'),
    one.cert.replaceAll('CERTIFICATE', 'TRUSTED CERTIFICATE'),
    '-----BEGIN X509 CERTIFICATE-----\nAAAA\n-----END X509 CERTIFICATE-----\n',
    '-----BEGIN CERTIFICATE-----\n',
  );
  const changes = fc.oneof(fc.constant([]), fc.array(change, { maxLength: 3 }));
  let taken = 0;
  fc.assert(
    fc.property(before, changes, changes, (first, ofCert, ofKey) => {
      const made = { cert: first + withBytes(one.cert, ofCert), key: withBytes(one.key, ofKey) };
      try {
        const identity = readIdentity(made.cert, made.key, WHERE);
        createSecureContext(identity);
        createSecureContext({ ca: identity.cert });
        taken += 1;
      } catch (error) {
        const { code, message } = error as { code?: string; message: string };
        if (code !== 'CONFIG_INVALID' || !/^\/tls\/tls\.(crt|key): /.test(message)) throw error;
      }
    }),
    { numRuns: 1_000 },
  );
  t.true(taken > 10, `${taken} were taken`);
});

test('V27: a certificate whose key is too short for TLS is refused before it is shown', (t) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 512 });
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const cert = selfSigned(key);
  t.throws(() => readIdentity(cert, key, WHERE), {
    code: 'CONFIG_INVALID',
    message: '/tls/tls.crt: it cannot be shown over TLS (ee key too small): give another one',
  });
});

function selfSigned(key: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'berth-short-'));
  try {
    writeFileSync(join(directory, 'key'), key);
    const args = ['req', '-x509', '-key', 'key', '-subj', '/CN=localhost', '-days', '1', '-sha256'];
    return execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' }).toString();
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test('V18: no message about a key holds a part of it', (t) => {
  const lines = authority.key.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'));
  for (const key of [
    authority.key.replace('M', '!'),
    authority.key.slice(0, 120),
    `${authority.key.slice(0, 100)}\n-----END PRIVATE KEY-----`,
  ]) {
    const error = t.throws(() => readIdentity(authority.cert, key, WHERE), { code: 'CONFIG_INVALID' });
    t.is(error?.cause, undefined);
    for (const line of lines) t.false(`${error?.message}${error?.stack}`.includes(line.slice(0, 16)));
  }
});
