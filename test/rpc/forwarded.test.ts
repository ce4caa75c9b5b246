/** What is said of an aggregator behind the API server, and whether it is worth asking again. */
import { type ServiceError, status } from '@grpc/grpc-js';
import test from 'ava';
import { BerthError } from '../../daemon/core/errors.ts';
import { forwardedEndpoint } from '../../daemon/rpc/endpoint.ts';
import { failure, isPassing } from '../../daemon/rpc/failure.ts';

function failed(code: status, details: string): ServiceError {
  return Object.assign(new Error(details), { code, details }) as ServiceError;
}

const SILENT = failed(status.UNAVAILABLE, 'not connected in time');
const CASES: readonly (readonly [string, ServiceError, BerthError | undefined, RegExp, boolean])[] = [
  [
    'silent',
    SILENT,
    undefined,
    /API server: no answer within 12 s; --request-timeout gives the API server longer$/,
    true,
  ],
  ['away', SILENT, new BerthError('API_UNREACHABLE', 'ECONNREFUSED'), /API server: ECONNREFUSED$/, true],
  ['without a pod', SILENT, new BerthError('RPC_FAILED', 'there is none'), /API server: there is none$/, true],
  ['refusing', SILENT, new BerthError('API_REFUSED', 'no \x1b[31mright'), /API server: no \\x1b\[31mright$/, false],
  [
    'forwarding to one that refuses',
    failed(status.PERMISSION_DENIED, 'not yours'),
    new BerthError('RPC_FAILED', 'of an earlier connection'),
    /^the aggregator at the other end of the forwarding answered: not yours$/,
    false,
  ],
];
for (const [what, error, reason, message, passes] of CASES) {
  test(`an API server that is ${what}`, async (t) => {
    const told = await failure(
      error,
      forwardedEndpoint('/s', () => reason, 7_000),
    );
    t.regex(told.message, message);
    t.is(isPassing(told), passes);
  });
}
