import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { DirectorySource } from '../daemon/kube/directory.ts';
import { systemClock } from '../daemon/ops/clock.ts';
import { podPlace } from '../daemon/podplace.ts';

function manifest(name: string, namespace = 'games'): string {
  return `apiVersion: v1\nkind: Pod\nmetadata: { name: ${name}, namespace: ${namespace} }\nspec: { containers: [{ name: main }] }\n`;
}

test("a pod's manifest and what the agent wrote about it are found, whatever the file is called", async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'berth-place-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const file = (name: string, text: string) => writeFileSync(join(directory, name), text);
  file('a.yaml', manifest('arena-0', 'other'));
  file('b.yaml', `${manifest('arena-1')}# not arena-0\n`);
  file('c.yaml', 'arena-0: [');
  file('z.yml', manifest('arena-0'));
  const source = new DirectorySource(directory, { clock: systemClock, settleMs: 0 });
  const pod = await source.get('games', 'arena-0');
  if (pod === undefined) return t.fail('the pod is not there');

  const origin = { kind: 'dir', path: directory } as const;
  const place = { kind: 'directory', directory } as const;
  t.deepEqual(await podPlace(origin, pod), { ...place, manifest: join(directory, 'z.yml') });

  mkdirSync(join(directory, '.status'));
  file('.status/games_arena-0.json', '{}');
  const status = join(directory, '.status/games_arena-0.json');
  t.deepEqual(await podPlace(origin, pod), { ...place, manifest: join(directory, 'z.yml'), status });

  rmSync(join(directory, 'z.yml'));
  t.deepEqual(await podPlace(origin, pod), { ...place, status });
});
