import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test, { type ExecutionContext } from 'ava';
import { StateFile } from '../../daemon/ops/statefile.ts';
import { encodeState } from '../../daemon/ops/stateformat.ts';
import { directory, disk } from './disk.ts';
import { markOf, stateOf } from './states.ts';

const WRITER = fileURLToPath(new URL('statefile.writer.ts', import.meta.url));

function fresh(t: ExecutionContext) {
  const path = directory(t);
  return { path, file: join(path, 'state.json'), aside: join(path, 'state.json.corrupt'), store: new StateFile(path) };
}

test('the file is for the owner alone, and nothing else is left in the directory', async (t) => {
  const { path, file, store } = fresh(t);
  await store.save(stateOf(3));
  t.deepEqual(readdirSync(path), ['state.json']);
  t.is(statSync(file).mode & 0o777, 0o600);
  t.is(readFileSync(file, 'utf8'), encodeState(stateOf(3)));
});

test('a save replaces the file in one step: a reader never sees a part of it', async (t) => {
  const { file, store } = fresh(t);
  await store.save(stateOf(500, 0));
  let done = false;
  const saving = (async () => {
    for (let mark = 1; mark <= 20; mark++) await store.save(stateOf(500, mark));
    done = true;
  })();
  let reads = 0;
  while (!done) {
    t.notThrows(() => JSON.parse(readFileSync(file, 'utf8')));
    reads++;
    await new Promise(setImmediate);
  }
  await saving;
  t.true(reads > 20);
});

test('saves during a save are one write, of the newest state, and all of them resolve after it', async (t) => {
  const { path, store } = fresh(t);
  const marks: number[] = [];
  const saves = Array.from({ length: 100 }, (_, mark) =>
    store.save(stateOf(1, mark)).then(async () => marks.push(markOf((await new StateFile(path).load()).state))),
  );
  await Promise.all(saves);
  // The first one had begun when the others came.
  t.true(marks.every((seen, mark) => seen >= mark));
  t.is(markOf((await store.load()).state), 99);
});

for (const [title, content, problem] of [
  ['garbage', '\u0000\u0001\u0002', /it is not JSON/],
  ['torn', encodeState(stateOf(3)).slice(0, 200), /it is not JSON/],
  ['empty', '', /it is not JSON/],
  ['of another version', '{"version":7,"grants":[],"resting":[],"settings":[]}', /it has version 7/],
  ['not UTF-8', Buffer.from([0x7b, 0xff, 0xfe]), /not valid for encoding utf-8/],
] as const) {
  test(`a file that is ${title} is kept aside and reported, and the next save heals`, async (t) => {
    const { file, aside, store } = fresh(t);
    writeFileSync(file, content);

    const found = await store.load();

    t.is(found.state, undefined);
    t.regex(found.problem ?? '', problem);
    t.regex(found.problem ?? '', /it is kept as .*state\.json\.corrupt, the state is rebuilt from the kernel/);
    t.false(existsSync(file));
    t.deepEqual(readFileSync(aside), Buffer.from(content));
    t.deepEqual(await store.load(), { state: undefined }, 'reported once');
    await store.save(stateOf(1));
    t.deepEqual(await store.load(), { state: stateOf(1) });
  });
}

test('of several bad files only the last is kept', async (t) => {
  const { path, file, aside, store } = fresh(t);
  for (const content of ['first', 'second']) {
    writeFileSync(file, content);
    await store.load();
    t.is(readFileSync(aside, 'utf8'), content);
  }
  t.deepEqual(readdirSync(path), ['state.json.corrupt']);
});

test('a file that is partly good stays in place until the next save, and is kept aside as well', async (t) => {
  const { file, aside, store } = fresh(t);
  const state = stateOf(2);
  const content = encodeState(state).replace('"hostPort":20001', '"hostPort":0');
  writeFileSync(file, content);

  const found = await store.load();

  t.deepEqual(found.state?.grants, state.grants.slice(0, 1));
  t.regex(
    found.problem ?? '',
    /1 of its entries are not valid .* grants\.1\.hostPort; it is kept as .*, what is missing is rebuilt/,
  );
  t.is(readFileSync(file, 'utf8'), content);
  await store.save(stateOf(1));
  t.is(readFileSync(aside, 'utf8'), content);
});

test('what a crash left of an unfinished save is removed and never read', async (t) => {
  const { path, store } = fresh(t);
  await store.save(stateOf(1, 1));
  writeFileSync(join(path, 'state.json.tmp'), encodeState(stateOf(1, 2)).slice(0, 100));
  t.is(markOf((await store.load()).state), 1);
  t.deepEqual(readdirSync(path), ['state.json']);
  writeFileSync(join(path, 'state.json.tmp'), 'left over');
  await store.save(stateOf(1, 3));
  t.is(markOf((await store.load()).state), 3);
});

test('a symbolic link is neither read nor written through', async (t) => {
  const { path, file, aside, store } = fresh(t);
  const elsewhere = join(directory(t), 'elsewhere');
  writeFileSync(elsewhere, encodeState(stateOf(5)));
  symlinkSync(elsewhere, file);
  symlinkSync(elsewhere, join(path, 'state.json.tmp'));

  const found = await store.load();
  t.is(found.state, undefined);
  t.regex(found.problem ?? '', /it is a symbolic link; it is kept as/);
  t.is(readlinkSync(aside), elsewhere);

  symlinkSync(elsewhere, file);
  symlinkSync(elsewhere, join(path, 'state.json.tmp'));
  await store.save(stateOf(1));
  t.is(readFileSync(elsewhere, 'utf8'), encodeState(stateOf(5)));
  t.true(statSync(file).isFile());
  t.deepEqual(await store.load(), { state: stateOf(1) });
});

test('a pipe, a directory and a file that is too large are not read', async (t) => {
  const { file, store } = fresh(t);
  execFileSync('mkfifo', [file]);
  t.regex((await store.load()).problem ?? '', /it is not a regular file/);
  mkdirSync(file);
  writeFileSync(join(file, 'inside'), '');
  t.regex((await store.load()).problem ?? '', /it is not a regular file; it is kept as/);
  writeFileSync(file, '');
  truncateSync(file, 64 * 1024 * 1024 + 1);
  t.regex((await store.load()).problem ?? '', /it is larger than 67108864 bytes/);
  t.false(existsSync(file));
});

test('without a file, or a directory, there is no state and no problem', async (t) => {
  const { path, store } = fresh(t);
  t.deepEqual(await store.load(), { state: undefined });
  rmSync(path, { recursive: true });
  t.deepEqual(await store.load(), { state: undefined });
  await t.throwsAsync(store.save(stateOf(1)), {
    code: 'STATE_UNUSABLE',
    message: /does not exist \(any more\): create it/,
  });
});

test('I3: a full disk refuses the save with the remedy, keeps the old file, and heals', async (t) => {
  const { path } = disk(t, '256k');
  const store = new StateFile(path);
  await store.save(stateOf(10, 1));
  const before = readFileSync(join(path, 'state.json'));

  const failed = store.save(stateOf(5000, 2));
  await t.throwsAsync(failed, {
    code: 'STATE_UNUSABLE',
    message: /cannot write .*state\.json: ENOSPC: no space is left: free some/,
  });

  t.deepEqual(readFileSync(join(path, 'state.json')), before);
  t.deepEqual(readdirSync(path), ['state.json'], 'the part that was written is gone');
  t.is(markOf((await store.load()).state), 1);
  await store.save(stateOf(10, 3));
  t.is(markOf((await store.load()).state), 3);
});

test('a failed save fails alone: the one that waited for it is written', async (t) => {
  const { path } = disk(t, '256k');
  const store = new StateFile(path);
  const first = store.save(stateOf(5000, 1));
  const second = store.save(stateOf(1, 2));
  await t.throwsAsync(first, { code: 'STATE_UNUSABLE' });
  await second;
  t.is(markOf((await store.load()).state), 2);
});

test('a read-only state directory is refused with the remedy, and heals', async (t) => {
  const volume = disk(t, '256k');
  const store = new StateFile(volume.path);
  volume.remount('ro');
  await t.throwsAsync(store.save(stateOf(1)), { code: 'STATE_UNUSABLE', message: /EROFS: .*mount it writable/ });
  volume.remount('rw');
  await t.notThrowsAsync(store.save(stateOf(1)));
});

test('I3: kill -9 at any step leaves a whole state, at least as new as the last one that was durable', async (t) => {
  const { path, store } = fresh(t);
  chmodSync(path, 0o700);
  let durable = 0;
  for (let round = 1; round <= 8; round++) {
    const child = fork(WRITER, [path], { execArgv: [] });
    durable = 0;
    child.on('message', (mark) => {
      durable = Number(mark);
      // In the middle of the next save, at another place of it each time.
      if (durable >= round) setImmediate(() => child.kill('SIGKILL'));
    });
    await once(child, 'exit');
    const { state, problem } = await store.load();
    t.is(problem, undefined);
    t.true(markOf(state) >= durable, `round ${round}: ${markOf(state)} >= ${durable}`);
    t.is(state?.grants.length, 2000);
  }
});

test('10,000 grants are saved and loaded', async (t) => {
  const { file, store } = fresh(t);
  const state = stateOf(10_000);
  const saving = performance.now();
  await store.save(state);
  const loading = performance.now();
  const found = await store.load();
  t.log(`10,000 grants: ${Math.round(statSync(file).size / 1024)} KB, saved in ${Math.round(loading - saving)} ms`);
  t.log(`loaded in ${Math.round(performance.now() - loading)} ms`);
  t.deepEqual(found, { state });
});
