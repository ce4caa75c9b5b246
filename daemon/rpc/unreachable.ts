/** Why a call to an agent failed, in words that name the socket and the remedy. It only looks; it never changes anything. */
import { connect } from 'node:net';
import { type ServiceError, status } from '@grpc/grpc-js';
import { printable } from '../core/text.ts';

const MAX_DETAILS = 512;

export async function whyAgentFailed(error: ServiceError, socketPath: string): Promise<string> {
  const unreachable = error.code === status.UNAVAILABLE ? await whyUnreachable(socketPath) : undefined;
  return unreachable ?? refusal(error, socketPath);
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
