/**
 * An API server of which `kubectl berth` needs two things: the list of the pods of the aggregator, and the forwarding to their
 * ports over WebSockets as kubelets speak it (v4.channel.k8s.io).
 */
import type { IncomingMessage } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import type { Duplex } from 'node:stream';
import type { ExecutionContext } from 'ava';
import { authority, serverOf } from '../rpc/tls/material.ts';
import { acceptWebSocket } from './websocket.ts';

/** That of its certificate. */
export const AUTHORITY = authority();

const PROTOCOL = 'v4.channel.k8s.io';
const FORWARD = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/portforward\?ports=(\d+)$/;

export interface ForwardingServer {
  readonly url: string;
  /**
   * Requests with their path, and who asked for them: `list berth-system as Bearer x`, `forward berth-system/agg-0:9465 as …`; whom they
   * pretend to be behind it, header by header: `… for ann uid 7 group a group b extra-scopes view`.
   */
  readonly asked: string[];
  /** Pods that are ready, and the port of this host that stands for the port of each. */
  readonly pods: Map<string, number>;
  /** Answers everything with 403 and this message. */
  refusal: string | undefined;
  /** Answers no list at all. */
  silent: boolean;
  /** Answers what is to be forwarded with this status. */
  forwardStatus: number | undefined;
}

export async function forwardingServer(t: ExecutionContext): Promise<ForwardingServer> {
  const server = createServer(serverOf(AUTHORITY));
  const sockets = new Set<Duplex>();
  const made = {
    asked: [] as string[],
    pods: new Map<string, number>(),
    refusal: undefined as string | undefined,
    silent: false,
    forwardStatus: undefined as number | undefined,
  };
  server.on('request', (request, response) => {
    const [, namespace] = /^\/api\/v1\/namespaces\/([^/]+)\/pods\?/.exec(request.url ?? '') ?? [];
    made.asked.push(`list ${namespace} as ${callerOf(request)}`);
    if (made.silent) return;
    response.setHeader('content-type', 'application/json');
    if (made.refusal !== undefined) {
      response.statusCode = 403;
      response.end(JSON.stringify({ kind: 'Status', code: 403, message: made.refusal }));
      return;
    }
    const items = [...made.pods.keys()].map((name) => ({
      metadata: { name, namespace },
      status: { conditions: [{ type: 'Ready', status: 'True' }] },
    }));
    response.end(JSON.stringify({ kind: 'PodList', apiVersion: 'v1', metadata: {}, items }));
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    const [, namespace, pod = '', port = ''] = FORWARD.exec(request.url ?? '') ?? [];
    made.asked.push(`forward ${namespace}/${pod}:${port} as ${callerOf(request)}`);
    const target = made.pods.get(pod);
    const status = made.forwardStatus ?? (target === undefined ? 404 : undefined);
    if (target === undefined || status !== undefined) socket.end(`HTTP/1.1 ${status} No\r\nContent-Length: 0\r\n\r\n`);
    else forward(request, socket, Number(port), target);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.closeAllConnections();
    server.close();
  });
  return Object.assign(made, { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}` });
}

/** Channel 0 is data and 1 errors; each begins with the number of the port. */
function forward(request: IncomingMessage, socket: Duplex, port: number, target: number): void {
  const upstream = connect(target, '127.0.0.1');
  const front = acceptWebSocket(request, socket, PROTOCOL, (message) => {
    if (message[0] === 0) upstream.write(message.subarray(1));
  });
  const number = Buffer.from([port & 0xff, port >> 8]);
  front.send(Buffer.concat([Buffer.from([0]), number]));
  front.send(Buffer.concat([Buffer.from([1]), number]));
  upstream.on('data', (chunk: Buffer) => front.send(Buffer.concat([Buffer.from([0]), chunk])));
  upstream.on('error', (error) => {
    front.send(
      Buffer.concat([Buffer.from([1]), Buffer.from(`an error occurred forwarding ${port}: ${error.message}`)]),
    );
  });
  upstream.on('close', () => front.close());
  socket.on('close', () => upstream.destroy());
}

function callerOf({ headers, rawHeaders }: IncomingMessage): string {
  const all = rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [[name, rawHeaders[index + 1]] as const] : []));
  const pretended = all.flatMap(([name, value]) => {
    const [, what] = /^impersonate-(.*)$/.exec(name.toLowerCase()) ?? [];
    // Node reads what is UTF-8 as Latin-1.
    return what === undefined
      ? []
      : [`${what === 'user' ? 'for' : what} ${Buffer.from(value ?? '', 'latin1').toString()}`];
  });
  return [headers.authorization ?? 'nobody', ...pretended].join(' ');
}
