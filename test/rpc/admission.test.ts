/** Requests that do not end, over real sockets: who is let in, what of them is read, and how many there may be. */
import { type ClientHttp2Session, connect } from 'node:http2';
import { type ServiceError, status } from '@grpc/grpc-js';
import test, { type ExecutionContext } from 'ava';
import type { Authenticator, Caller } from '../../daemon/rpc/caller.ts';
import { SERVER_LIMITS, type ServerLimits } from '../../daemon/rpc/clusterserver.ts';
import { Refusal } from '../../daemon/rpc/refusal.ts';
import { HealthService, MappingService, ReportService } from '../../proto/service.ts';
import { type Aggregator, aggregator, ask, clientOf, eventually } from './clusterfixture.ts';
import { framed, type OpenCall, openCall, rawCallOn } from './rawcall.ts';

const LIST = MappingService.list.path;
const REPORT = ReportService.report.path;
const CHECK = HealthService.check.path;
const QUESTION = framed(MappingService.list.requestSerialize({}));
const HELLO = framed(
  ReportService.report.requestSerialize({ hello: { node: 'n', bootId: 'b', epoch: 1, version: '1' } }),
);
const STATUS = framed(ReportService.report.requestSerialize({ status: { sequence: 0 } }));
const [OK, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, INTERNAL, UNAUTHENTICATED] = ['0', '4', '8', '13', '16'];

const SHORTLY = { bytes: 1_000, ms: 50 };

/** A message of so many bytes, but for its end. */
function beginningOf(length: number, bytes: number): Buffer {
  return framed(Buffer.alloc(bytes), 0, length);
}

/** Of everybody it is asked so: `agent` reports for node n, `nobody` is not known, of `slow` it is not known yet. */
const byHeader: Authenticator = {
  authenticate: async ({ metadata }): Promise<Caller> => {
    const name = String(metadata.get('who')[0] ?? 'nobody');
    if (name === 'nobody') throw new Refusal(status.UNAUTHENTICATED, 'who?');
    if (name === 'slow') return new Promise(() => {});
    if (name === 'agent') return { kind: 'agent', node: 'n' };
    return { kind: 'client', name, mayRead: async () => true, mayGet: async () => true };
  },
};

interface Scene extends Aggregator {
  session(): ClientHttp2Session;
  /** Resolves to the status of a whole call that this one makes. */
  asks(who: string): Promise<string>;
}

async function scene(
  t: ExecutionContext,
  server: Partial<ServerLimits> = {},
  authenticator = byHeader,
): Promise<Scene> {
  const made = await aggregator(t, { authenticator, server });
  await eventually(() => made.served.ready);
  const session = () => {
    const opened = connect(`http://${made.address}`);
    opened.on('error', () => {});
    t.teardown(() => opened.destroy());
    return opened;
  };
  const own = session();
  return { ...made, session, asks: (who) => rawCallOn(own, LIST, QUESTION, { headers: { who } }) };
}

function calls(session: ClientHttp2Session, count: number, path: string, who: string, said: Buffer): OpenCall[] {
  return Array.from({ length: count }, () => {
    const call = openCall(session, path, { who });
    call.write(said);
    return call;
  });
}

/** The calls that are answered, by their status; kept up to date. */
function answered(open: readonly OpenCall[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { status: code } of open) void code.then((one) => counts.set(one, (counts.get(one) ?? 0) + 1));
  return counts;
}

test('who is not known is told so before its message ends, and the stream is closed', async (t) => {
  const { session, asks } = await scene(t);
  const own = session();
  for (const path of [LIST, REPORT]) {
    const call = openCall(own, path, { who: 'nobody' });
    call.write(beginningOf(60_000, 30_000));
    t.is(await call.status, UNAUTHENTICATED);
    t.is(await call.closed, 0);
  }
  // Nor is it looked at when it is there: what cannot be decoded is INTERNAL for those who are known.
  const broken = framed(Buffer.from([0x0a, 0xff, 0xff, 0xff]));
  t.is(await rawCallOn(own, LIST, broken, { headers: { who: 'nobody' } }), UNAUTHENTICATED);
  t.is(await rawCallOn(own, LIST, broken, { headers: { who: 'ann' } }), INTERNAL);
  t.is(await asks('ann'), OK);
});

test('an agent that wants to read, and a client that wants to report, are refused before their message ends', async (t) => {
  const { session } = await scene(t);
  const own = session();
  const [reads] = calls(own, 1, LIST, 'agent', beginningOf(100, 50));
  const [reports] = calls(own, 1, REPORT, 'ann', beginningOf(100, 50));
  t.is(await reads?.status, String(status.PERMISSION_DENIED));
  t.is(await reports?.status, String(status.PERMISSION_DENIED));
});

test('no caller can have all places for requests that do not end, and who ends one or goes makes room', async (t) => {
  const { session, asks } = await scene(t, {
    inbox: { ...SERVER_LIMITS.inbox, requests: { ofAll: 50, ofOne: 20 } },
  });
  const evil = session();
  const open = calls(evil, 30, LIST, 'eve', QUESTION.subarray(0, 3));
  const counts = answered(open);
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 10);
  t.is(await asks('eve'), RESOURCE_EXHAUSTED);
  t.is(await asks('ann'), OK);
  // The first 20 have the places.
  open[0]?.write(QUESTION.subarray(3));
  open[0]?.end();
  t.is(await open[0]?.status, OK);
  t.is(await asks('eve'), OK);
  t.is(counts.get(RESOURCE_EXHAUSTED), 10);
  evil.destroy();
  const all = () => Promise.all(Array.from({ length: 20 }, () => asks('eve')));
  while ((await all()).some((code) => code !== OK));
  t.is(await asks('ann'), OK);
});

test('all callers together have a limit too', async (t) => {
  const { session, asks } = await scene(t, { inbox: { ...SERVER_LIMITS.inbox, requests: { ofAll: 30, ofOne: 20 } } });
  const own = session();
  const counts = answered(['eve', 'mallory'].flatMap((who) => calls(own, 20, LIST, who, QUESTION.subarray(0, 3))));
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 10);
  t.is(await asks('ann'), RESOURCE_EXHAUSTED);
  own.destroy();
  while ((await asks('ann')) !== OK);
  t.pass();
});

test('a request is given up that does not end in time', async (t) => {
  const { session, asks } = await scene(t, { inbox: { ...SERVER_LIMITS.inbox, single: SHORTLY } });
  const own = session();
  const open = calls(own, 5, LIST, 'eve', QUESTION.subarray(0, 3));
  // All of it but its end.
  open.push(...calls(own, 5, LIST, 'eve', QUESTION));
  for (const call of open) t.is(await call.status, DEADLINE_EXCEEDED);
  t.is(await asks('eve'), OK);
});

test('a stream may be silent for as long as it likes, but not in the midst of a message', async (t) => {
  const { session, served } = await scene(t, { inbox: { ...SERVER_LIMITS.inbox, streamed: SHORTLY } });
  const own = session();
  const [silent, cut] = calls(own, 2, REPORT, 'agent', Buffer.alloc(0)) as [OpenCall, OpenCall];
  const late = answered([silent, cut]);
  cut.write(HELLO);
  cut.write(Buffer.concat([STATUS, STATUS.subarray(0, 4)]));
  t.is(await cut.status, DEADLINE_EXCEEDED);
  t.is(await cut.closed, 0);
  t.deepEqual([...late], [[DEADLINE_EXCEEDED, 1]]);
  silent.write(HELLO);
  await eventually(() => served.streams === 1);
});

test('what is held of unfinished messages has a limit, for each caller and for all', async (t) => {
  const bytes = { ofAll: 700_000, ofOne: 400_000 };
  const { session, asks } = await scene(t, { inbox: { ...SERVER_LIMITS.inbox, bytes } });
  const own = session();
  const open = calls(own, 10, LIST, 'eve', beginningOf(64_000, 60_000));
  const counts = answered(open);
  await eventually(() => (counts.get(RESOURCE_EXHAUSTED) ?? 0) >= 4);
  t.is(await asks('ann'), OK);
  const more = answered(calls(session(), 10, LIST, 'mallory', beginningOf(64_000, 60_000)));
  await eventually(() => (more.get(RESOURCE_EXHAUSTED) ?? 0) >= 4);
  t.is([...counts.keys(), ...more.keys()].filter((code) => code !== RESOURCE_EXHAUSTED).length, 0);
});

test('messages of a stream that came as a whole are held no more, however many there are', async (t) => {
  const bytes = { ofAll: 400_000, ofOne: 400_000 };
  const { session, heard } = await scene(t, { inbox: { ...SERVER_LIMITS.inbox, bytes } });
  const [stream] = calls(session(), 1, REPORT, 'agent', HELLO) as [OpenCall];
  const big = framed(
    ReportService.report.requestSerialize({
      status: { addresses: Array.from({ length: 30 }, () => ({ type: 4, address: 'x'.repeat(250) })), sequence: 0 },
    }),
  );
  // Ten times as much as may be held, in pieces that fit nothing.
  const all = Buffer.concat(Array.from({ length: 500 }, () => big));
  for (let at = 0; at < all.length; at += 10_007) stream.write(all.subarray(at, at + 10_007));
  await eventually(() => heard.filter((one) => one === 'status').length === 500);
  t.false(heard.some((one) => one.startsWith('ended')));
});

test('a message that says that it is longer than is allowed is refused before it comes', async (t) => {
  const { session } = await scene(t);
  const own = session();
  const [request] = calls(own, 1, LIST, 'eve', beginningOf(64 * 1024 + 1, 0));
  t.is(await request?.status, RESOURCE_EXHAUSTED);
  const [stream] = calls(own, 1, REPORT, 'agent', beginningOf(1024 * 1024 + 1, 0));
  t.is(await stream?.status, RESOURCE_EXHAUSTED);
  const [health] = calls(own, 1, CHECK, 'nobody', beginningOf(1025, 0));
  t.is(await health?.status, RESOURCE_EXHAUSTED);
});

test('what is inflated counts as large as it may become', async (t) => {
  const bytes = { ofAll: 1_500_000, ofOne: 1_500_000 };
  const { session } = await scene(t, { inbox: { ...SERVER_LIMITS.inbox, bytes } });
  const headers = { who: 'eve', 'grpc-encoding': 'gzip' };
  const own = session();
  const first = openCall(own, LIST, headers);
  first.write(framed(Buffer.alloc(10), 1, 100));
  const second = openCall(own, LIST, headers);
  second.write(framed(Buffer.alloc(10), 1, 100));
  t.is(await second.status, RESOURCE_EXHAUSTED);
  first.reset();
});

test('where anybody may call the oldest of too many that do not end gives way, and health is answered all the time', async (t) => {
  const { session, asks, address } = await scene(t, {
    anybody: { ...SERVER_LIMITS.anybody, requests: { ofAll: 20, ofOne: 20 } },
  });
  const evil = session();
  const open = calls(evil, 60, CHECK, 'nobody', Buffer.alloc(3));
  const counts = answered(open);
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 40);
  t.is(await open[0]?.status, RESOURCE_EXHAUSTED);
  t.like(await ask(clientOf(t, address), HealthService.check, {}), { status: 1 });
  t.is(await asks('ann'), OK);
});

test('while it is not known who calls nothing is read, few may wait, and who is known does not wait behind them', async (t) => {
  const { session, asks } = await scene(t, {
    strangers: { calls: { ofAll: 15, ofOne: 15 }, bytes: { ofAll: 1_000_000, ofOne: 1_000_000 } },
  });
  const own = session();
  const open = calls(own, 20, LIST, 'slow', QUESTION.subarray(0, 3));
  const counts = answered(open);
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 5);
  t.is(await asks('ann'), OK);
  t.is(await asks('nobody'), UNAUTHENTICATED);
  t.is(await asks('slow'), RESOURCE_EXHAUSTED);
  own.destroy();
  for (let refused = 1; refused > 0; ) {
    const next = session();
    const waiting = answered(calls(next, 15, LIST, 'slow', QUESTION.subarray(0, 3)));
    // When there is no place for one more they have all of them, or some were refused too.
    t.is(await asks('slow'), RESOURCE_EXHAUSTED);
    refused = waiting.get(RESOURCE_EXHAUSTED) ?? 0;
    next.destroy();
  }
});

test('who sends on and on while it is not known who it is is refused', async (t) => {
  const { session, asks } = await scene(t, {
    strangers: { ...SERVER_LIMITS.strangers, bytes: { ofAll: 1_000_000, ofOne: 100_000 } },
  });
  const own = session();
  const patient = openCall(session(), LIST, { who: 'slow' });
  const counts = answered([patient]);
  // Each as much as its window takes.
  const open = calls(own, 4, LIST, 'slow', beginningOf(1_000_000, 60_000));
  for (const call of open) t.is(await call.status, RESOURCE_EXHAUSTED);
  t.is(await asks('ann'), OK);
  t.deepEqual([...counts], []);
});

test('all who are not known yet may send so much together, and who came first may wait', async (t) => {
  const { session, asks } = await scene(t, {
    strangers: { ...SERVER_LIMITS.strangers, bytes: { ofAll: 250_000, ofOne: 200_000 } },
  });
  const open: OpenCall[] = [];
  for (let count = 0; count < 6; count++)
    open.push(...calls(session(), 1, LIST, 'slow', beginningOf(1_000_000, 60_000)));
  const counts = answered(open);
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 2);
  t.is(await asks('ann'), OK);
  t.is(counts.get(RESOURCE_EXHAUSTED), 2);
});

test('a request counts until it is known whether it is allowed', async (t) => {
  let decide: (allowed: boolean) => void = () => {};
  const decision = new Promise<boolean>((resolve) => {
    decide = resolve;
  });
  const asking: Authenticator = {
    authenticate: async ({ metadata }) => {
      const name = String(metadata.get('who')[0]);
      const mayRead = () => (name === 'eve' ? decision : Promise.resolve(true));
      return { kind: 'client', name, mayRead, mayGet: async () => true };
    },
  };
  const limits = { inbox: { ...SERVER_LIMITS.inbox, requests: { ofAll: 10, ofOne: 5 } } };
  const { session, asks } = await scene(t, limits, asking);
  const own = session();
  const open = Array.from({ length: 8 }, () => {
    const call = openCall(own, LIST, { who: 'eve' });
    call.write(QUESTION);
    call.end();
    return call;
  });
  const counts = answered(open);
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 3);
  t.is(await asks('ann'), OK);
  decide(true);
  await eventually(() => counts.get(OK) === 5);
  t.is(await asks('eve'), OK);
});

test('V17: the agent of one node cannot take the places of those of all others', async (t) => {
  const { session, served } = await scene(t, { streams: { ofAll: 20, ofOne: 3 } });
  const open = calls(session(), 10, REPORT, 'agent', Buffer.alloc(0));
  const counts = answered(open);
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 7);
  t.is(served.streams, 3);
});

test('one client cannot take all places of those who watch', async (t) => {
  const { session, served } = await scene(t, { watchers: { ofAll: 20, ofOne: 3 } });
  const question = framed(MappingService.watch.requestSerialize({}));
  const watch = (who: string) => {
    const call = openCall(session(), MappingService.watch.path, { who });
    call.write(question);
    call.end();
    return call;
  };
  const counts = answered(Array.from({ length: 5 }, () => watch('eve')));
  await eventually(() => counts.get(RESOURCE_EXHAUSTED) === 2);
  watch('ann');
  await eventually(() => served.watchers === 4);
  t.is(counts.size, 1);
});

test('a real client is told why it is refused, and its connection goes on', async (t) => {
  const { address } = await scene(t);
  const client = clientOf(t, address);
  for (let count = 0; count < 3; count++) {
    const error = await t.throwsAsync<ServiceError>(ask(client, MappingService.list, {}));
    t.is(error.details, 'who?');
  }
  t.like(await ask(client, HealthService.check, {}), { status: 1 });
});
