import { readFileSync } from 'node:fs';
import test from 'ava';
import { readWaitOptions, type WaitOptions } from '../../daemon/ops/wait/options.ts';
import { parsePodinfo } from '../../daemon/ops/wait/podinfo.ts';
import { deliver, waitForNumbers } from '../../daemon/ops/wait/wait.ts';
import { ManualClock, Scratch, until } from '../kube/scratch.ts';

const never = new AbortController().signal;

function options(path: string, more: Partial<WaitOptions> = {}): WaitOptions {
  return { annotations: path, port: undefined, envFile: undefined, timeout: 60_000, ...more };
}

test('the file of a downward API volume is read as Go quotes it', (t) => {
  const text = 'a="plain"\nb="line\\nbreak \\"quoted\\" \\\\ \\u00e4 \\U0001f600 \\x01"\nhalf="not closed\n\nc=""\n';
  t.deepEqual(Object.fromEntries(parsePodinfo(text)), { a: 'plain', b: 'line\nbreak "quoted" \\ ä 😀 \x01', c: '' });
});

test('the numbers are waited for, however long the file, its request or its numbers are away', async (t) => {
  using scratch = new Scratch();
  const clock = new ManualClock();
  const waiting = waitForNumbers(options(scratch.join('annotations')), clock, never);
  let lines: string | undefined;
  void waiting.then((text) => {
    lines = text;
  });
  await until(() => clock.pending.length === 1);
  scratch.put('annotations', 'berth.dev/ports=""\n');
  clock.advance(200);
  await until(() => clock.pending.length === 1);
  scratch.put(
    'annotations',
    'berth.dev/ports=""\nport.berth.dev/web="23117"\nport.berth.dev/40000-udp="40000-40099"\n',
  );
  await clock.runUntil(() => lines !== undefined, 200);
  t.is(lines, 'PORT_WEB=23117\nPORT_40000_UDP=40000-40099\n');
});

test('a pod that has nothing but claims is waited for', async (t) => {
  for (const key of ['claim.berth.dev/web', 'claim-template.berth.dev/web']) {
    using scratch = new Scratch();
    const clock = new ManualClock();
    scratch.put('annotations', `${key}="lobby"\n`);
    let lines: string | undefined;
    void waitForNumbers(options(scratch.join('annotations')), clock, never).then((text) => {
      lines = text;
    });
    await until(() => clock.pending.length === 1);
    scratch.put('annotations', `${key}="lobby"\nport.berth.dev/web="25565"\n`);
    await clock.runUntil(() => lines !== undefined, 200);
    t.is(lines, 'PORT_WEB=25565\n');
  }
});

test('only the ports that were named are waited for, and told', async (t) => {
  using scratch = new Scratch();
  scratch.put('annotations', 'port.berth.dev/web="23117"\nport.berth.dev/admin="23118"\n');
  t.is(
    await waitForNumbers(options(scratch.join('annotations'), { port: ['admin'] }), new ManualClock(), never),
    'PORT_ADMIN=23118\n',
  );
});

test('what does not come in time is named', async (t) => {
  using scratch = new Scratch();
  scratch.put('annotations', 'berth.dev/ports=""\nport.berth.dev/web="23117"\nport.berth.dev/bad="; rm"\n');
  const clock = new ManualClock();
  const waiting = waitForNumbers(options(scratch.join('annotations'), { port: ['web', 'bad'] }), clock, never);
  const failed = t.throwsAsync(waiting, {
    code: 'NUMBERS_MISSING',
    message: /no number of bad .* after 60 s: see the Events/,
  });
  let done = false;
  void failed.then(() => {
    done = true;
  });
  await clock.runUntil(() => done, 200);
  t.is(clock.monotonic(), 60_000);
});

test('a pod that asks for nothing is not waited for', async (t) => {
  using scratch = new Scratch();
  scratch.put('annotations', 'kubernetes.io/config.source="api"\n');
  await t.throwsAsync(waitForNumbers(options(scratch.join('annotations')), new ManualClock(), never), {
    code: 'NUMBERS_MISSING',
    message: /asks for no host port: annotate it with berth\.dev\/ports/,
  });
});

test('the lines are printed, or written to a file as a whole', async (t) => {
  using scratch = new Scratch();
  let printed = '';
  const stdout = { write: (text: string) => (printed += text) };
  const lines = Promise.resolve('PORT_WEB=1\n');
  t.is(await deliver(lines, undefined, stdout, never), 0);
  t.is(printed, 'PORT_WEB=1\n');
  t.is(await deliver(lines, scratch.join('env'), stdout, never), 0);
  t.is(readFileSync(scratch.join('env'), 'utf8'), 'PORT_WEB=1\n');
  t.is(printed, 'PORT_WEB=1\n');
  await t.throwsAsync(deliver(lines, scratch.join('none/env'), stdout, never), { message: /--env-file .*ENOENT/ });
});

test('who is interrupted has not waited: what a shell does next must not go on', async (t) => {
  using scratch = new Scratch();
  const interrupt = new AbortController();
  const waiting = waitForNumbers(options(scratch.join('annotations')), new ManualClock(), interrupt.signal);
  const ended = deliver(waiting, undefined, { write: () => t.fail() }, interrupt.signal);
  interrupt.abort();
  t.is(await ended, 1);
});

test('options come from flags and variables, but not from the variables of a Service that is called berth', (t) => {
  const read = (argv: readonly string[], env: Record<string, string> = {}) => {
    const command = readWaitOptions({ argv, env });
    return command.kind === 'run' ? command.options : undefined;
  };
  t.deepEqual(
    read([], { BERTH_PORT: 'tcp://10.96.0.7:80' }),
    options('/etc/podinfo/annotations', { timeout: 300_000 }),
  );
  t.deepEqual(
    read(['--port=web', '--port=9000-udp', '--timeout=10s', '--env-file=/run/env'], { BERTH_ANNOTATIONS: '/a' }),
    {
      annotations: '/a',
      port: ['web', '9000-udp'],
      envFile: '/run/env',
      timeout: 10_000,
    },
  );
  t.throws(() => read(['--port=Web!']), { code: 'CONFIG_INVALID', message: /"Web!" is not the name of a port/ });
});
