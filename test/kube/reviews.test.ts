import test from 'ava';
import { AccessReviewer } from '../../daemon/kube/accessreview.ts';
import { TokenReviewer, type User } from '../../daemon/kube/tokenreview.ts';
import { ManualClock } from './scratch.ts';
import { clientOf } from './standin/connected.ts';
import { StandIn } from './standin/server.ts';

const TOKENS = 'POST /apis/authentication.k8s.io/v1/tokenreviews';
const RIGHTS = 'POST /apis/authorization.k8s.io/v1/subjectaccessreviews';
const AGENT = {
  username: 'system:serviceaccount:berth-system:berth-agent',
  uid: 'uid-sa',
  groups: ['system:serviceaccounts'],
  extra: { 'authentication.kubernetes.io/node-name': ['node-a'] },
};
const USER: User = { name: 'ann', uid: '', groups: ['dev'], extra: { scopes: ['a'] } };

async function scene() {
  const server = await StandIn.start();
  const clock = new ManualClock();
  const client = clientOf(server.url, clock);
  return {
    server,
    clock,
    client,
    tokens: new TokenReviewer({ client, clock, audience: 'berth' }),
    rights: new AccessReviewer(client, clock),
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** As a service account's token looks; only its end is read from it. */
function jwt(payload: object): string {
  return ['eyJhbGciOiJSUzI1NiJ9', Buffer.from(JSON.stringify(payload)).toString('base64url'), 'c2lnbmF0dXJl'].join('.');
}

test('a token for this audience says whose it is', async (t) => {
  await using s = await scene();
  s.server.store.tokens.set('good', { user: AGENT, audiences: ['berth'] });
  t.deepEqual(await s.tokens.review('good'), {
    name: AGENT.username,
    uid: AGENT.uid,
    groups: AGENT.groups,
    extra: AGENT.extra,
  });
  t.deepEqual(s.server.asked[0]?.body.spec, { token: 'good', audiences: ['berth'] });
});

test('a token that was made for the API server, and one that nobody made, say nothing', async (t) => {
  await using s = await scene();
  s.server.store.tokens.set('elsewhere', { user: AGENT, audiences: ['https://kubernetes.default.svc'] });
  t.is(await s.tokens.review('elsewhere'), undefined);
  t.is(await s.tokens.review('forged'), undefined);
});

test('an API server that knows nothing of audiences is not believed', async (t) => {
  await using s = await scene();
  const status = { authenticated: true, user: AGENT };
  s.server.fault = () => ({ kind: 'text', text: JSON.stringify({ status }) });
  t.is(await s.tokens.review('any'), undefined);
});

test('a good token is asked for once a minute, a bad one every five seconds', async (t) => {
  await using s = await scene();
  s.server.store.tokens.set('good', { user: AGENT, audiences: ['berth'] });
  for (let count = 0; count < 3; count++) {
    await s.tokens.review('good');
    await s.tokens.review('bad');
  }
  t.is(s.server.count(TOKENS), 2);
  s.clock.advance(5_000);
  await s.tokens.review('good');
  await s.tokens.review('bad');
  t.is(s.server.count(TOKENS), 3);
  s.clock.advance(55_000);
  s.server.store.tokens.clear();
  t.is(await s.tokens.review('good'), undefined);
});

test('no answer outlives its token, and an ended one is not even asked for', async (t) => {
  await using s = await scene();
  const token = jwt({ exp: s.clock.now() / 1_000 + 10 });
  s.server.store.tokens.set(token, { user: AGENT, audiences: ['berth'] });
  t.truthy(await s.tokens.review(token));
  s.clock.advance(9_999);
  t.truthy(await s.tokens.review(token));
  s.clock.advance(1);
  t.is(await s.tokens.review(token), undefined);
  t.is(s.server.count(TOKENS), 1);
});

test('while the API server is away known tokens count, and others are neither good nor bad', async (t) => {
  await using s = await scene();
  s.server.store.tokens.set('good', { user: AGENT, audiences: ['berth'] });
  await s.tokens.review('good');
  s.server.fault = () => ({ kind: 'refuseConnection' });
  t.truthy(await s.tokens.review('good'));
  await t.throwsAsync(s.tokens.review('other'), { code: 'API_UNREACHABLE' });
  s.server.fault = () => undefined;
  t.is(await s.tokens.review('other'), undefined);
});

test('many who come with one token cost one question', async (t) => {
  await using s = await scene();
  s.server.store.tokens.set('good', { user: AGENT, audiences: ['berth'] });
  const users = await Promise.all(Array.from({ length: 100 }, () => s.tokens.review('good')));
  t.true(users.every((user) => user?.name === AGENT.username));
  t.is(s.server.count(TOKENS), 1);
});

test('a flood of bad tokens is bounded and drives out no good one', async (t) => {
  await using s = await scene();
  s.server.store.tokens.set('good', { user: AGENT, audiences: ['berth'] });
  await s.tokens.review('good');
  const before = s.server.count(TOKENS);
  const answers = await Promise.allSettled(
    Array.from({ length: 3_000 }, (_, index) => s.tokens.review(`bad-${index}`)),
  );
  t.is(answers.filter(({ status }) => status === 'rejected').length, 3_000 - 256 - 2_048);
  for (let index = 0; index < 1_200; index++) await s.tokens.review(`worse-${index}`);
  const asked = s.server.count(TOKENS) - before;
  t.is(asked, 256 + 2_048 + 1_200);
  await s.tokens.review('good');
  t.is(s.server.count(TOKENS), before + asked);
});

test('V27: what cannot be a token reaches no API server', async (t) => {
  await using s = await scene();
  for (const token of ['', 'a b', 'ä', 'x\r\ny', '\0', 'x'.repeat(16 * 1024 + 1)])
    t.is(await s.tokens.review(token), undefined);
  t.is(s.server.asked.length, 0);
  for (const token of ['..', 'a.b.c', `x.${Buffer.from('{"exp":"soon"}').toString('base64url')}.y`, 'x.bnVsbA.y']) {
    t.is(await s.tokens.review(token), undefined);
  }
  t.is(s.server.asked.length, 4);
});

test('V18: no error about a token holds it, whatever the API server answers', async (t) => {
  await using s = await scene();
  const token = jwt({ sub: 'canary' });
  const faults = [
    { kind: 'text', text: JSON.stringify({ spec: { token }, status: 7 }) },
    { kind: 'text', text: `{"spec":{"token":${token}}}` },
    { kind: 'text', text: `{"spec":{"token":"${token}`, cut: true },
    { kind: 'status', code: 500 },
  ] as const;
  for (const fault of faults) {
    s.server.fault = () => fault;
    const error = await t.throwsAsync(s.tokens.review(token));
    for (let one: unknown = error; one instanceof Error; one = one.cause) {
      t.false(`${one.message}\n${one.stack}`.includes(token.slice(0, 12)), one.message);
    }
  }
});

test('a right is looked up as RBAC knows it: in a namespace, or in all of them', async (t) => {
  await using s = await scene();
  s.server.store.allows = ({ user, resourceAttributes }) => user === 'ann' && resourceAttributes?.namespace === 'shop';
  t.true(await s.rights.allowed(USER, { kind: 'mappings', verb: 'list', namespace: 'shop' }));
  t.false(await s.rights.allowed(USER, { kind: 'mappings', verb: 'list', namespace: 'bank' }));
  t.false(await s.rights.allowed(USER, { kind: 'mappings', verb: 'list', namespace: undefined }));
  t.false(await s.rights.allowed({ ...USER, name: 'bob' }, { kind: 'mappings', verb: 'list', namespace: 'shop' }));
  t.deepEqual(s.server.asked[0]?.body.spec, {
    user: 'ann',
    uid: '',
    groups: ['dev'],
    extra: { scopes: ['a'] },
    resourceAttributes: { group: 'berth.dev', version: '*', resource: 'mappings', verb: 'list', namespace: 'shop' },
  } as object);
});

test('a right counts for ten seconds, a refusal for five', async (t) => {
  await using s = await scene();
  let allowed = true;
  s.server.store.allows = () => allowed;
  const ask = () => s.rights.allowed(USER, { kind: 'path', verb: 'get', path: '/metrics' });
  t.true(await ask());
  allowed = false;
  t.true(await ask());
  s.clock.advance(10_000);
  t.false(await ask());
  allowed = true;
  t.false(await ask());
  s.clock.advance(5_000);
  t.true(await ask());
  t.is(s.server.count(RIGHTS), 3);
});

test('an explicit no wins over a yes', async (t) => {
  await using s = await scene();
  s.server.fault = () => ({ kind: 'text', text: '{"status":{"allowed":true,"denied":true}}' });
  t.false(await s.rights.allowed(USER, { kind: 'path', verb: 'get', path: '/metrics' }));
});
