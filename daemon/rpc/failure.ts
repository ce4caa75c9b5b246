/** The error of a call that failed: what people read, and the gRPC status behind it. */
import { type ServiceError, status } from '@grpc/grpc-js';
import { BerthError } from '../core/errors.ts';
import type { Endpoint } from './endpoint.ts';

/** RPC_FAILED, with what grpc-js said as its cause. */
export async function failure(error: ServiceError, endpoint: Pick<Endpoint, 'explain' | 'cause'>): Promise<BerthError> {
  return new BerthError('RPC_FAILED', await endpoint.explain(error), { cause: endpoint.cause?.(error) ?? error });
}

/** The gRPC status behind an error of `failure`, undefined for any other. */
export function statusOf(error: unknown): status | undefined {
  const cause = error instanceof BerthError && error.code === 'RPC_FAILED' ? error.cause : undefined;
  return cause instanceof Error ? (cause as ServiceError).code : undefined;
}

/** Whether another replica, or the same one later, may well answer. */
export function isPassing(error: unknown): boolean {
  const code = statusOf(error);
  return code === status.UNAVAILABLE || code === status.DEADLINE_EXCEEDED;
}

/** The failures of several replicas as one, with the status of the last. */
export function together(failures: readonly BerthError[]): BerthError {
  const messages = [...new Set(failures.map(({ message }) => message))];
  return new BerthError('RPC_FAILED', messages.join('; '), { cause: failures.at(-1)?.cause });
}
