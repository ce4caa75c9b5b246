/**
 * Stands in front of pages over HTTPS: finds out who asks, as for a call of gRPC, and lets through whom RBAC lets get the path. What
 * was sent is never repeated.
 */
import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { Metadata, status } from '@grpc/grpc-js';
import { demandPath } from './access.ts';
import type { Authenticator } from './caller.ts';
import { refusalOf } from './refusal.ts';

export interface Denied {
  readonly status: 401 | 403 | 503 | 500;
  readonly text: string;
}

const PRINTABLE = /^[\x20-\x7e]*$/;
const STATUSES = new Map<status, Denied['status']>([
  [status.UNAUTHENTICATED, 401],
  [status.PERMISSION_DENIED, 403],
  [status.UNAVAILABLE, 503],
]);

/** Undefined: the request may be answered. `report` hears of defects. */
export async function denial(
  authenticator: Authenticator,
  { headers, socket }: Pick<IncomingMessage, 'headers' | 'socket'>,
  path: string,
  report: (error: Error) => void,
): Promise<Denied | undefined> {
  const metadata = new Metadata();
  const { authorization } = headers;
  try {
    // Node keeps the first of several. What is no header of gRPC is none here: grpc-js would repeat it in its error.
    if (authorization !== undefined && PRINTABLE.test(authorization)) metadata.set('authorization', authorization);
    const caller = await authenticator.authenticate({
      metadata,
      getPeer: () => `${socket.remoteAddress}`,
      getAuthContext: () => contextOf(socket as TLSSocket),
    });
    await demandPath(caller, path);
    return undefined;
  } catch (thrown) {
    const refusal = refusalOf(thrown, report);
    return { status: STATUSES.get(refusal.code) ?? 500, text: `${refusal.details}\n` };
  }
}

/** A certificate that no authority of clients has signed never gets so far. */
function contextOf(socket: TLSSocket): ReturnType<Parameters<Authenticator['authenticate']>[0]['getAuthContext']> {
  const certificate = socket.authorized ? socket.getPeerCertificate() : undefined;
  if (certificate === undefined || Object.keys(certificate).length === 0) return {};
  return { transportSecurityType: 'ssl', sslPeerCertificate: certificate };
}
