import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { promisify } from 'node:util';
import test from 'ava';
import { codeOf, dropProgramCode } from '../../daemon/native/memory.ts';

const PROGRAM = process.execPath;
const MEMORY = new URL('../../daemon/native/memory.ts', import.meta.url).href;

/** How much of the program's code is mapped, in KiB. */
function residentCode(): number {
  const smaps = readFileSync('/proc/self/smaps', 'latin1');
  const sizes = smaps
    .split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m)
    .filter((text) => / r-xp /.test(text) && text.split('\n')[0]?.endsWith(PROGRAM))
    .map((text) => Number(/^Rss: +(\d+) kB$/m.exec(text)?.[1]));
  return sizes.reduce((sum, size) => sum + size, 0);
}

test('the code that only the start needed is dropped, and the program goes on', (t) => {
  const before = residentCode();
  t.true(before > 10_000, `${before} KiB`);
  const dropped = dropProgramCode(readFileSync('/proc/self/smaps', 'latin1'), PROGRAM);
  const after = residentCode();
  t.true(dropped >= before * 1024);
  t.true(after < before / 2, `${before} KiB before, ${after} KiB after`);
  t.is(JSON.stringify([...'aé'.normalize('NFD')].map((letter) => letter.codePointAt(0))), '[97,101,769]');
});

test('a mapping of the code that has a page of its own is left alone', (t) => {
  const smaps = readFileSync('/proc/self/smaps', 'latin1');
  const [code] = codeOf(smaps, PROGRAM);
  t.is(code?.anonymous, 0);
  const probed = smaps.replaceAll(/^Anonymous: .*$/gm, 'Anonymous:             4 kB');
  t.is(codeOf(probed, PROGRAM)[0]?.anonymous, 4);
  t.is(dropProgramCode(probed, PROGRAM), 0);
});

test('nothing is dropped of other files, of data, or of what cannot be read', (t) => {
  const data = readFileSync('/proc/self/smaps', 'latin1').replaceAll(' r-xp ', ' r--p ');
  t.deepEqual(codeOf(data, PROGRAM), []);
  t.deepEqual(codeOf(readFileSync('/proc/self/smaps', 'latin1'), '/usr/bin/other'), []);
  t.deepEqual(codeOf('', PROGRAM), []);
  t.deepEqual(codeOf(`1000-2000 r-xp 00000000 08:01 1 ${PROGRAM}\nRss: 4 kB\n`, PROGRAM), []);
});

/** How much malloc's own heap grows when a process makes 16 MB of buffers, as it is told to begin. In KiB. */
async function heapGrowth(begin: string): Promise<number> {
  const program = `
    import { readFileSync } from 'node:fs';
    import { keepLittleFree } from ${JSON.stringify(MEMORY)};
    ${begin}
    const size = () => Number(/\\[heap\\]\\n(?:.*\\n)*?Rss: +(\\d+) kB/.exec(readFileSync('/proc/self/smaps', 'latin1'))?.[1]);
    const before = size();
    const buffers = Array.from({ length: 500 }, () => Buffer.allocUnsafeSlow(32 * 1024).fill(1));
    console.log(size() - before, buffers.length);
  `;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(PROGRAM, args, { env: { ...process.env, MALLOC_ARENA_MAX: '1' } });
  return Number.parseInt(stdout, 10);
}

test('what is large has a place of its own once little is to be kept free, and none between small things', async (t) => {
  const [usual, sparing] = [await heapGrowth(''), await heapGrowth('keepLittleFree();')];
  t.true(usual > 8_000, `${usual} KiB`);
  t.true(sparing < 2_000, `${sparing} KiB`);
});

/** How large V8's heap gets, in MB, when a process keeps some 40 MB and makes much that it keeps for a moment. */
async function heapAtMost(begin: string): Promise<number> {
  const program = `
    import { getHeapStatistics } from 'node:v8';
    import { collectSooner } from ${JSON.stringify(MEMORY)};
    ${begin}
    const kept = Array.from({ length: 300_000 }, (_, index) => ({ index, list: [index], name: 'n' + index }));
    const lately = new Array(40_000);
    let most = 0;
    for (let index = 0; index < 3_000_000; index += 1) {
      lately[index % lately.length] = { index, list: [index], name: 'm' + index };
      if (index % 50_000 === 0) most = Math.max(most, getHeapStatistics().total_heap_size);
    }
    console.log(most / 1e6, kept.length);
  `;
  const args = ['--max-semi-space-size=2', '--input-type=module', '--eval', program];
  const { stdout } = await promisify(execFile)(PROGRAM, args);
  return Number.parseFloat(stdout);
}

test('garbage of a large heap is collected sooner when that was asked for, and of a small one it is not', async (t) => {
  const [large, small] = [await heapAtMost('collectSooner(200e6);'), await heapAtMost('collectSooner();')];
  t.true(large < small * 0.8, `as a small heap ${small} MB, as a large one ${large} MB`);
});
