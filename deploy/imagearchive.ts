/**
 * Packs a directory as an image archive of one layer that `ctr images import` and `docker load` take. The same files give the same
 * bytes. It must never need a daemon, nor the network.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  cpSync,
  createReadStream,
  existsSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';

export interface ImageConfig {
  /** `name:tag`. */
  readonly name: string;
  readonly entrypoint: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const EPOCH = '1970-01-01T00:00:00Z';
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const TAR = ['--sort=name', '--owner=0', '--group=0', '--numeric-owner', '--mtime=@0'];

/** Writes `archive` with the files below `root`. Everything belongs to root in the image. */
export async function packImage(
  root: string,
  archive: string,
  { name, entrypoint, env = {} }: ImageConfig,
): Promise<void> {
  const scratch = mkdtempSync(join(tmpdir(), 'berth-image-'));
  try {
    const layer = join(scratch, 'layer.tar');
    // mkdtemp's 0700 would be the mode of / in the image.
    chmodSync(root, 0o755);
    execFileSync('tar', ['-C', root, ...TAR, '-cf', layer, '.']);
    const config = {
      architecture: ARCHITECTURES[process.arch] ?? process.arch,
      os: 'linux',
      created: EPOCH,
      config: {
        Env: Object.entries({ PATH, ...env }).map(([key, value]) => `${key}=${value}`),
        Entrypoint: entrypoint,
      },
      rootfs: { type: 'layers', diff_ids: [`sha256:${await sha256(layer)}`] },
      history: [{ created: EPOCH, created_by: 'deploy/imagearchive.ts' }],
    };
    writeFileSync(join(scratch, 'config.json'), JSON.stringify(config));
    const manifest = [{ Config: 'config.json', RepoTags: [name], Layers: ['layer.tar'] }];
    writeFileSync(join(scratch, 'manifest.json'), JSON.stringify(manifest));
    mkdirSync(dirname(archive), { recursive: true });
    execFileSync('tar', ['-C', scratch, ...TAR, '-cf', archive, 'manifest.json', 'config.json', 'layer.tar']);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Copies a program and the shared libraries that it is linked with to the same places below `root`, links resolved. */
export function copyProgram(root: string, program: string, as = program): void {
  place(program, join(root, as));
  for (const library of librariesOf(program)) place(library, join(root, library));
}

/** What ldd names by its path: libraries, and the dynamic linker itself. None for a static program. */
export function librariesOf(program: string): readonly string[] {
  let listed: string;
  try {
    listed = execFileSync('ldd', [program], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return [];
  }
  return [...listed.matchAll(/(?<=^\s*|=> )\/\S+/gm)].map(([path]) => path);
}

function place(from: string, to: string): void {
  if (existsSync(to)) return;
  mkdirSync(dirname(to), { recursive: true });
  cpSync(realpathSync(from), to);
}

async function sha256(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}
