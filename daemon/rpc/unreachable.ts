/** Why a call failed, in words that name the socket and the remedy. It only looks; it never changes anything. */
import { connect } from 'node:net';
import { type ServiceError, status } from '@grpc/grpc-js';
import { BerthError } from '../core/errors.ts';
import { printable } from '../core/text.ts';

const MAX_DETAILS = 512;

/** RPC_FAILED, with what grpc-js said as its cause. */
export async function failure(error: ServiceError, socketPath: string): Promise<BerthError> {
  const unreachable = error.code === status.UNAVAILABLE ? await whyUnreachable(socketPath) : undefined;
  return new BerthError('RPC_FAILED', unreachable ?? refusal(error, socketPath), { cause: error });
}

/** The gRPC status behind an error of `failure`, undefined for any other. */
export function statusOf(error: unknown): status | undefined {
  const cause = error instanceof BerthError && error.code === 'RPC_FAILED' ? error.cause : undefined;
  return cause instanceof Error ? (cause as ServiceError).code : undefined;
}

function refusal(error: ServiceError, socketPath: string): string {
  const details = printable(error.details ?? error.message, MAX_DETAILS);
  switch (error.code) {
    case status.DEADLINE_EXCEEDED:
      return `the agent at ${shown(socketPath)} did not answer in time: look at its log`;
    case status.UNIMPLEMENTED:
      return `what listens at ${shown(socketPath)} is no Berth agent, or an older one: ${details}`;
    default:
      return `the agent at ${shown(socketPath)} answered: ${details}`;
  }
}

/** Undefined when something listens there and may be reached: then it is the server that says UNAVAILABLE. */
async function whyUnreachable(socketPath: string): Promise<string | undefined> {
  const path = shown(socketPath);
  switch (await connectError(socketPath)) {
    case undefined:
      return undefined;
    case 'ENOENT':
      return `there is no socket ${path}: is the agent running on this node? Start it, or name its socket with --socket`;
    case 'ECONNREFUSED':
      return `nobody listens at ${path}: the agent was killed and left its socket behind. Start it again`;
    case 'EACCES':
    case 'EPERM':
      return `this user may not open ${path}: only root and the socket's group may. Use sudo, or join that group`;
    case 'ENOTSOCK':
    case 'ENOTDIR':
      return `${path} is no socket: name the agent's socket with --socket`;
    default:
      return `the agent cannot be reached at ${path}: look at its log`;
  }
}

function connectError(path: string): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect({ path });
  socket.once('connect', () => resolve(undefined));
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
  return promise.finally(() => socket.destroy());
}

function shown(path: string): string {
  return printable(path, 256);
}
