import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import test from 'ava';
import { ApiClient } from '../../daemon/kube/api/client.ts';
import { InClusterCredentials } from '../../daemon/kube/api/incluster.ts';
import { ManualClock, Scratch } from './scratch.ts';

/** A certificate that is its own CA. */
function certificate(scratch: Scratch, name: string) {
  const [key, cert] = [scratch.join(`${name}.key`), scratch.join(`${name}.crt`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=IP:127.0.0.1'];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'];
  execFileSync('openssl', ['req', ...kind, ...subject, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
}

test('a CA that is replaced is used for new connections, and an open watch goes on over its old one', async (t) => {
  using scratch = new Scratch();
  const [first, second] = [certificate(scratch, 'first'), certificate(scratch, 'second')];
  const server = createServer(first, (request, response) => {
    if (request.url === '/watch') response.write('open\n');
    else response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const clock = new ManualClock();
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  scratch.put('ca.crt', first.cert);
  scratch.put('token', 'of-tests');
  await using client = new ApiClient({
    credentials: new InClusterCredentials(url, scratch.path, clock),
    clock,
    userAgent: 'berth-test',
  });
  const end = new AbortController();
  const watch = client.stream({ method: 'GET', path: '/watch', signal: end.signal }, 60_000);
  t.is(String((await watch.next()).value), 'open\n');

  server.setSecureContext(second);
  scratch.put('ca.crt', second.cert);
  clock.advance(10_000);
  t.deepEqual(await client.send({ method: 'GET', path: '/' }), {});

  const after = watch.next();
  end.abort();
  t.true((await after).done, 'it ended because it was told to, and not before');
});

test('a server whose certificate the CA did not sign is not talked to', async (t) => {
  using scratch = new Scratch();
  const [known, other] = [certificate(scratch, 'known'), certificate(scratch, 'other')];
  let asked = 0;
  const server = createServer(other, (_, response) => {
    asked++;
    response.end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  scratch.put('ca.crt', known.cert);
  scratch.put('token', 'secret');
  const clock = new ManualClock();
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  await using client = new ApiClient({
    credentials: new InClusterCredentials(url, scratch.path, clock),
    clock,
    userAgent: 'berth-test',
  });
  await t.throwsAsync(client.send({ method: 'GET', path: '/' }), {
    code: 'API_UNREACHABLE',
    message: /self-signed certificate/,
  });
  t.is(asked, 0);
});
