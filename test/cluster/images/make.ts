/**
 * Makes the image archives that every node of the cluster imports: the agent, a server for pods, and what holds a pod together.
 *
 * Argument: DIRECTORY. The set-up of the cluster starts it.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeImage } from '../../../deploy/image.ts';
import { packImage } from '../../../deploy/imagearchive.ts';

const PROGRAMS = ['pause', 'server'];

async function makeImages(directory: string): Promise<void> {
  for (const program of PROGRAMS) {
    const root = mkdtempSync(join(tmpdir(), 'berth-image-'));
    try {
      const source = join(import.meta.dirname, `${program}.c`);
      execFileSync('gcc', ['-Os', '-static', '-s', '-Wall', '-o', join(root, program), source], { stdio: 'inherit' });
      const image = { name: `berth-test/${program}:1`, entrypoint: [`/${program}`] };
      await packImage(root, join(directory, `${program}.tar`), image);
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  }
  await makeImage(join(directory, 'agent.tar'));
}

if (import.meta.main) {
  const [directory] = process.argv.slice(2);
  if (directory === undefined) {
    process.stderr.write('images/make.ts: name the DIRECTORY for the archives\n');
    process.exitCode = 2;
  } else await makeImages(directory);
}
