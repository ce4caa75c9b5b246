/**
 * What the agent relies on an API server for, tried on the stand-in that the other tests use and on the real kube-apiserver,
 * so that the one can stand for the other. Without a kube-apiserver on this machine a skipped test says so.
 */
import test from 'ava';
import { Admin } from './apiserver/admin.ts';
import { findBinaries } from './apiserver/binaries.ts';
import { RealServer } from './apiserver/realserver.ts';
import type { TestServer } from './apiserver/testserver.ts';
import { type Case, Place } from './contract/case.ts';
import { FORGETTING, READING } from './contract/reading.ts';
import { TELLING } from './contract/telling.ts';
import { WRITING } from './contract/writing.ts';
import { StandIn } from './standin/server.ts';

const CASES: readonly Case[] = [...READING, ...WRITING, ...TELLING];

const binaries = findBinaries();
holds('the stand-in', () => StandIn.start());
if (binaries.kind === 'found') holds('the real kube-apiserver', () => RealServer.start(binaries));
else test.skip(`the real kube-apiserver is left out, the stand-in alone was asked: ${binaries.why}`, () => {});

/** Every case on one server of this kind; what ends its watches comes when the others are done. */
function holds(name: string, start: () => Promise<TestServer>): void {
  const starting = Promise.withResolvers<TestServer>();
  const done: Promise<unknown>[] = [];
  const run =
    (one: Case) =>
    async (t: Parameters<Case['run']>[0]): Promise<void> => {
      const server = await starting.promise;
      await using admin = new Admin(server.url, server.tls);
      await using place = await Place.make(server, admin);
      await one.run(t, place);
    };
  test.before(async (t) => {
    await start().then(starting.resolve, starting.reject);
    t.log(`the cases are tried on ${(await starting.promise).name}`);
  });
  test.after.always(async () => (await starting.promise)[Symbol.asyncDispose]());
  for (const one of CASES) {
    test(`${name}: ${one.title}`, async (t) => {
      const ended = run(one)(t);
      done.push(ended.catch(() => undefined));
      await ended;
    });
  }
  test(`${name}: ${FORGETTING.title}`, async (t) => {
    await Promise.all(done);
    await run(FORGETTING)(t);
  });
}
