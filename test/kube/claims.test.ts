/** What the API server says of a claim, and what the agent makes of it: a number only where one certainly is. */
import test from 'ava';
import fc from 'fast-check';
import { refused, unreachable } from '../../daemon/kube/api/apierror.ts';
import type { ApiRequest } from '../../daemon/kube/api/client.ts';
import { ApiClaims, decodeClaim } from '../../daemon/kube/claims.ts';

const BOUND = { phase: 'Bound', port: 25_565, protocols: ['UDP', 'TCP'], handover: 'OnTerminated' };

function claim(status: unknown, metadata: object = {}): unknown {
  return { apiVersion: 'berth.dev/v1alpha1', kind: 'HostPortClaim', metadata: { name: 'lobby', ...metadata }, status };
}

function claims(answer: (request: ApiRequest) => unknown): ApiClaims {
  return new ApiClaims({ send: async (request) => answer(request) });
}

test('one claim is asked for by its name', async (t) => {
  const asked: ApiRequest[] = [];
  const source = claims((request) => {
    asked.push(request);
    return claim(BOUND);
  });
  t.deepEqual(await source.get('games', 'eu.lobby'), {
    kind: 'bound',
    port: 25_565,
    protocols: ['TCP', 'UDP'],
    handover: 'OnTerminated',
  });
  t.deepEqual(asked, [{ method: 'GET', path: '/apis/berth.dev/v1alpha1/namespaces/games/hostportclaims/eu.lobby' }]);
});

const PENDING: readonly (readonly [what: string, object: unknown, message: RegExp])[] = [
  ['without a status', claim(undefined), /^it is not bound yet; is the controller of claims running\?$/],
  [
    'that is pending, with its own reason',
    claim({
      phase: 'Pending',
      conditions: [{ type: 'Ready' }, { type: 'Bound', status: 'False', message: 'no free port' }],
    }),
    /^no free port$/,
  ],
  [
    'with a reason that would move a cursor',
    claim({ phase: 'Pending', conditions: [{ type: 'Bound', status: 'False', message: '\u001b[2J' }] }),
    /^\\x1b\[2J$/,
  ],
  ['that is being deleted', claim(BOUND, { deletionTimestamp: '2026-01-31T12:00:00Z' }), /^it is being deleted;/],
  ['whose phase says so', claim({ ...BOUND, phase: 'Deleting' }), /^it is being deleted;/],
  ['bound to port 0', claim({ ...BOUND, port: 0 }), /^its status says Bound, and no port/],
  ['bound to a port that is none', claim({ ...BOUND, port: '25565' }), /^its status says Bound, and no port/],
  ['bound beyond the last port', claim({ ...BOUND, port: 65_536 }), /^its status says Bound, and no port/],
  ['bound for no protocol', claim({ ...BOUND, protocols: [] }), /^its status says Bound, and no port/],
  [
    'bound for a protocol that is none',
    claim({ ...BOUND, protocols: ['ICMP'] }),
    /^its status says Bound, and no port/,
  ],
  ['with a hand-over that is none', claim({ ...BOUND, handover: 'Whenever' }), /^its status says Bound, and no port/],
  ['that is no object', 'nonsense', /^the answer is no HostPortClaim/],
];

for (const [what, object, message] of PENDING) {
  test(`a claim ${what} gives no number`, (t) => {
    const status = decodeClaim(object);
    t.is(status.kind, 'pending');
    t.regex(status.kind === 'pending' ? status.message : '', message);
  });
}

test('a claim that says nothing of its hand-over moves when the next pod is ready', (t) => {
  const { handover: _, ...rest } = BOUND;
  const status = decodeClaim(claim(rest));
  t.is(status.kind === 'bound' ? status.handover : '', 'OnReady');
});

const REFUSED: readonly (readonly [what: string, error: Error, message: RegExp])[] = [
  [
    'there is no such claim',
    refused('GET x', 404, { reason: 'NotFound', message: 'not found' }),
    /^there is no such HostPortClaim in namespace games; make it/,
  ],
  [
    'the cluster has no claims',
    refused('GET x', 404, '404 page not found'),
    /^the cluster has no HostPortClaims; install deploy\/claims$/,
  ],
  [
    'the agent may not read it',
    refused('GET x', 403, { reason: 'Forbidden', message: 'no' }),
    /allow the agent's service account to get hostportclaims/,
  ],
];

for (const [what, error, message] of REFUSED) {
  test(`that ${what} is an answer`, async (t) => {
    const status = await claims(() => {
      throw error;
    }).get('games', 'lobby');
    t.regex(status.kind === 'pending' ? status.message : '', message);
  });
}

for (const error of [
  refused('GET x', 500, 'oops'),
  refused('GET x', 401, ''),
  refused('GET x', 429, ''),
  unreachable('GET x', 'no answer'),
]) {
  test(`that it cannot be known is none: ${error.message}`, async (t) => {
    const source = claims(() => {
      throw error;
    });
    await t.throwsAsync(source.get('games', 'lobby'), { is: error });
  });
}

test('whatever stands there: an answer, a number in range, a message that can be shown', (t) => {
  const status = fc.oneof(
    fc.anything(),
    fc.record({
      phase: fc.constantFrom('Bound', 'Pending', 1),
      port: fc.anything(),
      protocols: fc.anything(),
      conditions: fc.anything(),
    }),
  );
  t.notThrows(() =>
    fc.assert(
      fc.property(
        fc.oneof(
          fc.anything(),
          status.map((one) => claim(one)),
        ),
        (object) => {
          const decoded = decodeClaim(object);
          if (decoded.kind === 'bound')
            return decoded.port >= 1 && decoded.port <= 65_535 && decoded.protocols.length > 0;
          return decoded.message.length > 0 && decoded.message.length <= 512 && !/\p{C}/u.test(decoded.message);
        },
      ),
      { numRuns: 5_000 },
    ),
  );
});
