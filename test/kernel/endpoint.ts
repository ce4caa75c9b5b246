/** What an agent serves over HTTP on the loopback of its node: /readyz and /metrics, asked from inside the namespace. */
import { get } from 'node:http';
import { connect } from 'node:net';
import { atOnce } from './matrix/server.ts';
import type { Namespace } from './namespace.ts';

/** Where an agent serves unless it is told otherwise. */
export const METRICS_PORT = 9464;

export interface Reply {
  /** 0 when nobody answers. */
  readonly status: number;
  readonly text: string;
}

/** Never rejects. */
export function fetchFrom(node: Namespace, path: string, port = METRICS_PORT): Promise<Reply> {
  const none: Reply = { status: 0, text: '' };
  // Only a lookup makes the socket at once, and so in the namespace.
  const lookup = (_host: string, options: unknown, answer: Parameters<typeof atOnce>[2]) =>
    atOnce('127.0.0.1', options, answer);
  const createConnection = () => node.enter(() => connect({ host: 'at 127.0.0.1', port, family: 4, lookup }));
  return new Promise((resolve) => {
    const request = get({ path, createConnection, headers: { connection: 'close' } }, (response) => {
      let text = '';
      response.on('data', (data) => {
        text += data;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      response.on('error', () => resolve(none));
    });
    request.on('error', () => resolve(none));
  });
}

/** The value of a metric in an exposition; the sum where it has several labels, 0 where it is not there. */
export function metricIn(exposition: string, name: string): number {
  return exposition
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
