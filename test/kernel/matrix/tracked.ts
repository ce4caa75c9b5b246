/** The connections that a namespace tracks, as the program `conntrack` tells them: both directions, marks and all. */
import type { Namespace } from '../namespace.ts';

export interface Direction {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly port: number;
}

export interface Tracked {
  /** Given to one entry only: another entry with the same addresses has another. */
  readonly id: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly original: Direction;
  readonly reply: Direction;
  readonly mark: number;
}

const ENTRY = /^(tcp|udp) .*$/gm;
const DIRECTION = /src=(\S+) dst=(\S+) sport=(\d+) dport=(\d+)/g;

export function tracked(namespace: Namespace): readonly Tracked[] {
  const text = ['ipv4', 'ipv6']
    .map((family) => namespace.run('conntrack', ['-L', '-f', family, '-o', 'id']))
    .join('\n');
  return [...text.matchAll(ENTRY)].map(([line, protocol]) => {
    const [original, reply] = [...line.matchAll(DIRECTION)].map(directionOf);
    if (original === undefined || reply === undefined) throw new Error(`not understood: ${line}`);
    const id = /\bid=(\d+)/.exec(line)?.[1] ?? '';
    const mark = Number(/\bmark=(\d+)/.exec(line)?.[1] ?? 0);
    return { id, protocol: protocol === 'tcp' ? 'TCP' : 'UDP', original, reply, mark };
  });
}

/** Nothing was translated: the answer goes the very way back. */
export function isUntouched({ original, reply }: Tracked): boolean {
  return (
    reply.source === original.destination &&
    reply.port === original.sourcePort &&
    reply.destination === original.source &&
    reply.sourcePort === original.port
  );
}

function directionOf([, source = '', destination = '', sourcePort, port]: RegExpMatchArray): Direction {
  return { source, sourcePort: Number(sourcePort), destination, port: Number(port) };
}
