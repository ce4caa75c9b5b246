import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import type { Mapping } from '../../daemon/core/vocabulary.ts';
import { createLog, type Log, type LogOptions } from '../../daemon/ops/log.ts';
import { peerLog } from '../../daemon/ops/peerlog.ts';
import { fanOut, LogRecorder } from '../../daemon/ops/recorder.ts';
import type { AgentEvent, Recorder } from '../../daemon/reconcile/ports.ts';

function logTo(lines: string[], options: Partial<LogOptions> = {}): Log {
  return createLog({
    level: 'debug',
    format: 'json',
    node: 'node-7',
    destination: { write: (line) => lines.push(line) },
    ...options,
  });
}

class HandClock {
  now = 0;
  monotonic(): number {
    return this.now;
  }
}

/** A recorder and what it has logged, without time and node. */
function recording(options: Partial<LogOptions> = {}) {
  const lines: string[] = [];
  const clock = new HandClock();
  const recorder = new LogRecorder(logTo(lines, options), clock);
  const logged = () =>
    lines.splice(0).map((line) => {
      const { time: _, node: __, ...facts } = JSON.parse(line);
      return facts;
    });
  return { recorder, clock, logged };
}

const POD = { namespace: 'lobby', name: 'game-0', uid: 'u0' };
const MAPPING: Mapping = {
  pod: POD,
  name: 'web',
  protocol: 'TCP',
  pool: 'default',
  hostPort: 20_000,
  size: 1,
  containerPort: 80,
  podIPs: ['10.0.0.7', 'fd00::7'],
};

function failure(message: string, operation = 'apply'): AgentEvent {
  return { kind: 'failure', operation, error: new BerthError('NFT_REFUSED', message) };
}

test('a line is one JSON object with time, level, node and event', (t) => {
  const lines: string[] = [];
  logTo(lines).info({ event: 'started', version: '1.2.3' });
  t.is(lines.length, 1);
  t.regex(lines[0] ?? '', /^\{.*\}\n$/);
  const { time, ...facts } = JSON.parse(lines[0] ?? '');
  t.regex(time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/);
  t.deepEqual(facts, { level: 'info', node: 'node-7', event: 'started', version: '1.2.3' });
});

test('the level leaves out what is below it', (t) => {
  const lines: string[] = [];
  const log = logTo(lines, { level: 'warn' });
  for (const level of ['debug', 'info', 'warn', 'error'] as const) log[level]({ event: level });
  t.deepEqual(
    lines.map((line) => JSON.parse(line).event),
    ['warn', 'error'],
  );
});

test('text is for people: time, level, event, key=value', (t) => {
  const lines: string[] = [];
  logTo(lines, { format: 'text' }).warn({
    event: 'problem',
    pod: 'game-0',
    message: 'no port is free',
    podIPs: ['fd00::7'],
    n: 1,
  });
  t.regex(lines[0] ?? '', /^\S+Z WARN {2}problem pod=game-0 message="no port is free" podIPs=\["fd00::7"\] n=1\n$/);
});

for (const format of ['json', 'text'] as const) {
  test(`V19: nothing that a terminal obeys goes through as ${format}`, (t) => {
    const lines: string[] = [];
    const evil = 'a\u001b[31m\u009b31m\r\n\u202e\u2066\u200b\u2028\u{e0041}\u007fz';
    logTo(lines, { format }).info({ event: 'problem', message: evil, list: [evil], error: new Error(evil) });
    t.notRegex((lines[0] ?? '').slice(0, -1), /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
    t.true(lines[0]?.endsWith('\n'));
  });

  test(`V18: tokens and keys never appear as ${format}, at any level`, (t) => {
    const lines: string[] = [];
    const log = logTo(lines, { format });
    const token = 'eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJjYW5hcnkifQ.c2lnbmF0dXJlLWNhbmFyeQ';
    const key = '-----BEGIN RSA PRIVATE KEY-----\nMIICANARYcanary\n-----END RSA PRIVATE KEY-----\n';
    const error = Object.assign(new Error(`401 for Bearer opaque-canary`, { cause: new Error(`sent ${token}`) }), {
      headers: { authorization: 'Basic canary' },
      input: 'canary',
    });
    for (const level of ['debug', 'info', 'warn', 'error'] as const) {
      log[level]({
        event: 'x',
        error,
        header: `authorization: bearer ${token}`,
        key,
        cut: '-----BEGIN PRIVATE KEY-----\ncanary',
      });
    }
    t.is(lines.length, 4);
    t.notRegex(lines.join(''), /canary|c2lnbmF0dXJl|eyJ/i);
    t.regex(lines.join(''), /401 for Bearer \[cut\]/);
  });
}

test('lines go to stderr, also those that are written just before the process ends', async (t) => {
  const program = `
    import { createLog } from '${new URL('../../daemon/ops/log.ts', import.meta.url)}';
    const log = createLog({ level: 'info', format: 'text', node: 'node-7' });
    for (let n = 0; n < 1000; n++) log.info({ event: 'x', n });
    process.exit(0);
  `;
  const { stdout, stderr } = await promisify(execFile)(process.execPath, ['--input-type=module', '--eval', program]);
  t.is(stdout, '');
  t.is(stderr.trimEnd().split('\n').length, 1_000);
  t.regex(stderr, / INFO {2}x n=999\n$/);
});

test('JSON with escaped characters reads back as it was', (t) => {
  const lines: string[] = [];
  const message = 'quote " backslash \\ bidi \u202e tag \u{e0041} ä 語 🚢';
  logTo(lines).info({ event: 'x', message });
  t.is(JSON.parse(lines[0] ?? '').message, message);
});

test('an error tells its code, its message and its causes, and no more than that', (t) => {
  const lines: string[] = [];
  const cause = Object.assign(new Error('socket hang up', { cause: 'a text' }), { headers: { cookie: 'x' } });
  logTo(lines).error({ event: 'failure', error: new BerthError('NFT_REFUSED', 'no such table', { cause }) });
  t.deepEqual(JSON.parse(lines[0] ?? '').error, {
    code: 'NFT_REFUSED',
    message: 'no such table',
    causes: ['socket hang up', 'a text'],
  });
});

test('an error of somebody else tells where it was thrown; what was thrown may be anything', (t) => {
  const lines: string[] = [];
  const log = logTo(lines);
  for (const error of [new TypeError('x is undefined'), 'a text', undefined, 7]) log.error({ event: 'failure', error });
  const errors = lines.map((line) => JSON.parse(line).error);
  t.regex(errors[0].stack, /log\.test\.ts/);
  t.like(errors[1], { message: 'a text' });
  t.like(errors[3], { message: '7' });
});

test('I10: a line is bounded, however long a message or a chain of causes is', (t) => {
  const lines: string[] = [];
  let error = new Error('x'.repeat(100_000));
  for (let depth = 0; depth < 50; depth++) error = new Error('x'.repeat(100_000), { cause: error });
  logTo(lines).error({ event: 'failure', error });
  t.true((lines[0] ?? '').length < 10_000);
});

test('one line says that a port was mapped, with all that an audit asks for', (t) => {
  const { recorder, logged } = recording();
  const allowFrom = [{ family: 4, text: '203.0.113.0/24' }] as const;
  recorder.record({
    kind: 'mapped',
    mapping: { ...MAPPING, hostIP: '192.0.2.7', size: 3, allowFrom },
    adopted: false,
    sinceSeenMs: 1.23456,
  });
  t.deepEqual(logged(), [
    {
      level: 'info',
      event: 'mapped',
      namespace: 'lobby',
      pod: 'game-0',
      uid: 'u0',
      port: 'web',
      protocol: 'TCP',
      hostPort: 20_000,
      size: 3,
      hostIP: '192.0.2.7',
      containerPort: 80,
      podIPs: ['10.0.0.7', 'fd00::7'],
      pool: 'default',
      allowFrom: ['203.0.113.0/24'],
      adopted: false,
      sinceSeenMs: 1.235,
    },
  ]);
});

test('one line says that a port was released, and for how long it was live', (t) => {
  const { recorder, logged } = recording();
  recorder.record({ kind: 'released', mapping: MAPPING, liveMs: 60_000, givenAt: Date.UTC(2026, 0, 2) });
  const [line] = logged();
  t.like(line, {
    event: 'released',
    pod: 'game-0',
    uid: 'u0',
    hostPort: 20_000,
    liveMs: 60_000,
    givenAt: '2026-01-02T00:00:00.000Z',
  });
  t.false('hostIP' in line || 'size' in line || 'allowFrom' in line);
});

test('the audit trail is never thinned out', (t) => {
  const { recorder, logged } = recording({ level: 'info' });
  for (let i = 0; i < 1_000; i++)
    recorder.record({ kind: 'mapped', mapping: MAPPING, adopted: false, sinceSeenMs: undefined });
  t.is(logged().length, 1_000);
});

test('what was adopted is counted in one line, and named at debug only', (t) => {
  const events: readonly AgentEvent[] = [
    { kind: 'mapped', mapping: MAPPING, adopted: true, sinceSeenMs: undefined },
    { kind: 'adopted', mappings: 1 },
  ];
  const heard = (level: 'info' | 'debug') => {
    const { recorder, logged } = recording({ level });
    for (const event of events) recorder.record(event);
    return logged();
  };
  t.deepEqual(heard('info'), [{ level: 'info', event: 'adopted', mappings: 1 }]);
  t.like(heard('debug')[0], { level: 'debug', event: 'mapped', hostPort: 20_000, adopted: true });
});

test('what happens in every pass is logged at debug only', (t) => {
  const events: readonly AgentEvent[] = [
    { kind: 'pass', full: false, ms: 1 },
    { kind: 'applied', ms: 1, added: 1, removed: 0 },
    { kind: 'flows', deleted: 0, ms: 1 },
  ];
  const quiet = recording({ level: 'info' });
  const loud = recording();
  for (const event of events) quiet.recorder.record(event);
  for (const event of events) loud.recorder.record(event);
  t.deepEqual(quiet.logged(), []);
  t.deepEqual(
    loud.logged().map(({ event, level }) => `${level} ${event}`),
    ['debug pass', 'debug applied', 'debug flows'],
  );
});

test('every kind of trouble has its level and its facts', (t) => {
  const { recorder, logged } = recording();
  recorder.record({ kind: 'problem', pod: POD, problem: { reason: 'PoolExhausted', message: 'no port is free' } });
  recorder.record({ kind: 'healed', what: 'table', added: 2, removed: 1 });
  recorder.record({ kind: 'conflict', reservation: { protocol: 'UDP', port: 20_001, hostIP: '192.0.2.7' }, pod: POD });
  recorder.record({ kind: 'violation', invariant: 'I1', detail: 'TCP 20000 has two pods' });
  recorder.record(failure('refused'));
  const pod = { namespace: 'lobby', pod: 'game-0', uid: 'u0' };
  t.deepEqual(logged(), [
    { level: 'warn', event: 'problem', ...pod, reason: 'PoolExhausted', message: 'no port is free' },
    { level: 'warn', event: 'healed', what: 'table', added: 2, removed: 1 },
    { level: 'warn', event: 'conflict', ...pod, protocol: 'UDP', hostPort: 20_001, hostIP: '192.0.2.7' },
    { level: 'error', event: 'violation', invariant: 'I1', detail: 'TCP 20000 has two pods' },
    { level: 'error', event: 'failure', operation: 'apply', error: { code: 'NFT_REFUSED', message: 'refused' } },
  ]);
});

test('I10: a failure that repeats itself is logged at doubling counts', (t) => {
  const { recorder, logged } = recording();
  for (let i = 0; i < 1_000; i++) recorder.record(failure('refused'));
  t.deepEqual(
    logged().map(({ count }) => count),
    [undefined, 2, 4, 8, 16, 32, 64, 128, 256, 512],
  );
});

test('another failure, or the same of another operation, is logged at once', (t) => {
  const { recorder, logged } = recording();
  for (let i = 0; i < 3; i++) recorder.record(failure('refused'));
  recorder.record(failure('no such table'));
  recorder.record(failure('refused', 'read'));
  t.deepEqual(
    logged()
      .map(({ operation, error }) => `${operation}: ${error.message}`)
      .slice(2),
    ['apply: no such table', 'read: refused'],
  );
});

test('a recovery is logged once, and only after a failure; the next failure is new', (t) => {
  const { recorder, logged } = recording();
  recorder.record({ kind: 'recovered', operation: 'apply' });
  t.deepEqual(logged(), []);
  for (let i = 0; i < 3; i++) recorder.record(failure('refused'));
  logged();
  recorder.record({ kind: 'recovered', operation: 'apply' });
  recorder.record({ kind: 'recovered', operation: 'apply' });
  t.deepEqual(logged(), [{ level: 'info', event: 'recovered', operation: 'apply' }]);
  recorder.record(failure('refused'));
  t.is(logged()[0]?.count, undefined);
});

test('a problem that is solved is logged once, and only if it was logged', (t) => {
  const { recorder, logged } = recording();
  const problem = { reason: 'PoolExhausted', message: 'no port is free' } as const;
  recorder.record({ kind: 'solved', pod: POD });
  recorder.record({ kind: 'problem', pod: POD, problem });
  recorder.record({ kind: 'problem', pod: { ...POD, uid: 'u1' }, problem });
  recorder.record({ kind: 'solved', pod: POD });
  recorder.record({ kind: 'problem', pod: POD, problem });
  t.deepEqual(
    logged().map(({ event, uid }) => `${event} ${uid}`),
    ['problem u0', 'problem u1', 'solved u0', 'problem u0'],
  );
});

test('I10: failures that all differ are bounded by the minute, and what was withheld is counted', (t) => {
  const { recorder, clock, logged } = recording();
  for (let i = 0; i < 5_000; i++) recorder.record(failure(`refused ${i}`));
  t.is(logged().length, 100);
  clock.now += 600;
  recorder.record(failure('later'));
  t.like(logged()[0], { withheld: 4_900, error: { message: 'later' } });
  clock.now += 3_600_000;
  for (let i = 0; i < 5_000; i++) recorder.record(failure(`again ${i}`));
  t.is(logged().length, 100);
});

test('I8: what fails all the time leaves the lines of other kinds alone', (t) => {
  const { recorder, logged } = recording();
  for (let i = 0; i < 5_000; i++) recorder.record(failure(`refused ${i}`));
  logged();
  recorder.record({ kind: 'problem', pod: POD, problem: { reason: 'PoolExhausted', message: 'no port is free' } });
  t.is(logged().length, 1);
});

test('a failure that comes back after ten quiet minutes is new', (t) => {
  const { recorder, clock, logged } = recording();
  for (let i = 0; i < 3; i++) recorder.record(failure('refused'));
  logged();
  clock.now += 599_999;
  recorder.record(failure('refused'));
  t.is(logged()[0]?.count, 4);
  clock.now += 600_000;
  recorder.record(failure('refused'));
  t.is(logged()[0]?.count, undefined);
});

test('a recorder that throws keeps neither the others nor the loop from going on', (t) => {
  const kinds: string[] = [];
  const broken: Recorder = {
    record() {
      throw new Error('the disk is full');
    },
  };
  const recorder = fanOut([broken, { record: ({ kind }) => kinds.push(kind) }]);
  t.notThrows(() => recorder.record({ kind: 'pass', full: true, ms: 1 }));
  t.deepEqual(kinds, ['pass']);
});

test('V12, I10: each user of the socket is told of once, and further connections at level debug', (t) => {
  const lines: string[] = [];
  const seen = peerLog({
    info: ({ event, pid, uid, gid }) => lines.push(`info ${event} ${pid} ${uid}:${gid}`),
    debug: ({ pid }) => lines.push(`debug ${pid}`),
  });
  seen({ pid: 1, uid: 0, gid: 0 });
  seen({ pid: 2, uid: 0, gid: 0 });
  seen({ pid: 3, uid: 0, gid: 7 });
  t.deepEqual(lines, ['info client 1 0:0', 'debug 2', 'info client 3 0:7']);
  for (let uid = 0; uid < 1_000; uid++) seen({ pid: 4, uid, gid: 1 });
  t.is(lines.filter((line) => line.startsWith('info')).length, 64);
});
