/** What peers make grpc-js say, as a program and as a command write it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import test, { type ExecutionContext } from 'ava';
import { MappingService } from '../proto/service.ts';
import { starting } from './aggregatorprocess.ts';
import { eventually } from './rpc/clusterfixture.ts';
import { rawCall } from './rpc/rawcall.ts';

const CLI = join(import.meta.dirname, '../daemon/cli.ts');
/** U+009B begins a control sequence in terminals that know C1 controls. */
const HOSTILE = 'canary-token \u009b31m';
const OBEYED = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/;

async function hostileCalls(address: string): Promise<void> {
  const headers = { authorization: `Bearer ${HOSTILE}`, 'x-custom': HOSTILE };
  for (let count = 0; count < 300; count++) {
    await rawCall(address, MappingService.list.path, Buffer.alloc(5), { ...headers, [`x-${count}`]: HOSTILE });
  }
  await rawCall(address, MappingService.list.path, Buffer.alloc(5), { authorization: 'Bearer canary"]-token' });
  await rawCall(address, MappingService.list.path, Buffer.alloc(5), { authorization: 'canary' });
}

test.serial(
  'V18, V19: headers that a caller made up reach the log without what they hold, and do not fill it',
  async (t) => {
    const { logged, addresses, lines, stop } = await aggregatorWith(t, {});
    await hostileCalls(addresses[0] ?? '');
    await eventually(() => logged('grpc') !== undefined);
    await stop();
    t.regex(String(logged('grpc')?.message), /^a peer sent the header [\w-]+ with characters that none may have$/);
    checked(t, lines);
    t.true(lines.length < 150, `${lines.length} lines`);
  },
);

test.serial('V18, V19: traces of grpc-js are lines of the log, without tokens', async (t) => {
  const { logged, addresses, lines, stop } = await aggregatorWith(t, { GRPC_TRACE: 'all', GRPC_VERBOSITY: 'DEBUG' });
  await hostileCalls(addresses[0] ?? '');
  await eventually(() => lines.some((line) => line.includes('received headers')));
  await stop();
  t.is(logged('grpc')?.level, 'debug');
  checked(t, lines);
});

async function aggregatorWith(t: ExecutionContext, env: Readonly<Record<string, string>>) {
  const begun = await starting(t, ['--review-tokens=false'], env);
  await eventually(() => begun.logged('listening') !== undefined);
  return begun;
}

function checked(t: ExecutionContext, lines: readonly string[]): void {
  for (const line of lines) {
    t.false(line.includes('canary'), line);
    t.notRegex(line, OBEYED);
    t.notThrows(() => JSON.parse(line), line);
  }
}

test.serial('V19: headers of a hostile server reach no terminal', async (t) => {
  const server = createServer();
  server.on('stream', (stream) => {
    stream.respond(
      { ':status': 200, 'content-type': 'application/grpc', 'x-evil': HOSTILE },
      { waitForTrailers: true },
    );
    stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '13', 'x-trailing': HOSTILE }));
    stream.end();
  });
  server.listen(0, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const child = spawn(process.execPath, [CLI, 'list', '--aggregator', address], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { PATH: process.env.PATH },
  });
  const [said, [code]] = await Promise.all([text(child.stderr), once(child, 'exit')]);
  t.is(code, 1);
  t.regex(said, /grpc: a peer sent the header x-evil with characters that none may have\n/);
  t.notRegex(said, OBEYED);
  t.false(said.includes('canary'));
});
