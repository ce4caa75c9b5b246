/**
 * Makes the image without Docker and without the network, out of what is on this machine: the bundle, the Node that runs this,
 * and `nft` with its libraries.
 *
 *     npm run image -- ARCHIVE        (then: ctr -n k8s.io images import ARCHIVE)
 */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { VERSION } from '../daemon/version.ts';
import { makeBundle, NODE_COMMAND, RUN_ENV } from './bundle.ts';
import { copyProgram, packImage } from './imagearchive.ts';

const HOME = '/opt/berth';

/** As in the Dockerfile. */
export const ENTRYPOINT: readonly string[] = [...NODE_COMMAND, `${HOME}/berth.mjs`];

/** The files of the image: the agent runs on node and nft alone; env is there so that `berth` can be called by its name. */
export async function makeRoot(root: string): Promise<void> {
  await makeBundle(join(root, HOME));
  copyProgram(root, process.execPath, '/usr/local/bin/node');
  copyProgram(root, '/usr/sbin/nft');
  copyProgram(root, '/usr/bin/env');
  symlinkSync(`${HOME}/berth.mjs`, join(root, 'usr/local/bin/berth'));
  for (const path of ['etc', 'proc', 'sys', 'dev', 'tmp', 'run', 'var/lib'])
    mkdirSync(join(root, path), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/usr/local/bin/berth\n');
}

export async function makeImage(archive: string): Promise<void> {
  const root = mkdtempSync(join(tmpdir(), 'berth-root-'));
  try {
    await makeRoot(root);
    await packImage(root, archive, { name: `berth:${VERSION}`, entrypoint: ENTRYPOINT, env: RUN_ENV });
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const [archive] = process.argv.slice(2);
  if (archive === undefined) {
    process.stderr.write('usage: npm run image -- ARCHIVE\n');
    process.exitCode = 2;
  } else await makeImage(archive);
}
