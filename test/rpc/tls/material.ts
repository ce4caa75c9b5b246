/** Certificates for the tests of TLS, made anew in each process. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { issueServer, makeAuthority } from '../../../daemon/trust/certificates.ts';
import type { Identity } from '../../../daemon/trust/identity.ts';

const from = Date.now();
const DAY = 86_400_000;

export function authority(name = 'test authority'): Identity {
  return makeAuthority(name, { from, to: from + 365 * DAY });
}

export function serverOf(signer: Identity, names: readonly string[] = ['localhost', '127.0.0.1']): Identity {
  return issueServer(signer, names, { from, to: from + DAY });
}

/** A client's, as an administrator would make one: `subject` as in `/O=berth:agents/CN=node-a`. */
export function clientOf(signer: Identity, subject: string): Identity {
  const directory = mkdtempSync(join(tmpdir(), 'berth-pki-'));
  const run = (...args: readonly string[]) => execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' });
  try {
    writeFileSync(join(directory, 'ca.crt'), signer.cert);
    writeFileSync(join(directory, 'ca.key'), signer.key);
    writeFileSync(join(directory, 'extensions'), 'extendedKeyUsage=clientAuth\n');
    run('ecparam', '-name', 'prime256v1', '-genkey', '-noout', '-out', 'key');
    run('req', '-new', '-key', 'key', '-subj', subject, '-out', 'csr');
    run(
      'x509',
      '-req',
      '-in',
      'csr',
      '-CA',
      'ca.crt',
      '-CAkey',
      'ca.key',
      '-set_serial',
      '7',
      '-days',
      '1',
      '-extfile',
      'extensions',
      '-out',
      'crt',
    );
    return { cert: readFileSync(join(directory, 'crt'), 'utf8'), key: readFileSync(join(directory, 'key'), 'utf8') };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
