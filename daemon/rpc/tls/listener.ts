/**
 * A listener for HTTP/2 over TLS. Handshakes have bounds of their own: who begins one and does not end it takes no place from
 * those who speak, and delays nobody. Certificates are replaced without closing anything.
 *
 *   connection --first bytes--> turnstile --> handshake ----------------> handed over
 *       | silent                     |            | late, or the oldest of too many; no HTTP/2; a certificate that no authority of clients signed
 *       '----------------------------'------------'--> closed, and told by `onRefused`
 *
 * It must never hold a connection that it does not count.
 */
import { constants } from 'node:crypto';
import { createServer as createPlain, type Server as PlainServer, type Socket } from 'node:net';
import { createServer, type Server, type TLSSocket, type TlsOptions } from 'node:tls';
import { messageOf } from '../../core/errors.ts';
import { printable } from '../../core/text.ts';
import { Turnstile } from './turnstile.ts';

/** What the listener proves to clients, and what clients can prove to it; all PEM. */
export interface ServerMaterial {
  readonly cert: string;
  readonly key: string;
  /** Authorities of clients; absent: no client is asked for a certificate. */
  readonly clientAuthorities?: string;
}

export interface HandshakeOptions {
  readonly material: ServerMaterial;
  /** Told of every connection that was not handed over, with a reason that is fit to be shown. */
  readonly onRefused?: (reason: string) => void;
  /** How long a client may be silent at first, and how long its handshake may take then, in ms. */
  readonly handshakeMs?: number;
  /** How many may be under way at once. One more, and the oldest is given up. */
  readonly maxHandshakes?: number;
}

export interface TlsListenerOptions extends HandshakeOptions {
  /** Takes the connection: its handshake is done, and its certificate, if it has one, is one of a client's authority. */
  readonly onConnection: (connection: TLSSocket) => void;
}

export interface TlsListener {
  /** To be told where to listen, and to be closed. `maxConnections` is its user's. */
  readonly server: PlainServer;
  /** From now on for every new connection. Throws when OpenSSL cannot use it; what was used before stays. */
  use(material: ServerMaterial): void;
}

/** Long enough for a client with 3 lost packets (RFC 6298: 1 + 2 + 4 s). */
const HANDSHAKE_MS = 10_000;
/** Of 10 KB to 30 KB each. */
const MAX_HANDSHAKES = 2_048;

/**
 * Node takes over a connection on which something has come already with a buffer of that size, and later ones of 16 KB. From one on which
 * nothing has come it reads into 64 KB, which the connection keeps for as long as it lives: of 5,000 agents 320 MB, half of it resident.
 */
export function createTlsListener(options: TlsListenerOptions): TlsListener {
  const { onRefused = () => {}, handshakeMs = HANDSHAKE_MS } = options;
  const encrypted = createServer(tlsOptions(options, 'h2'));
  const turnstile = new Turnstile();
  const server = createPlain((raw) => {
    onceHeard(raw, handshakeMs, onRefused, () => {
      handshakes.leave(raw);
      const refuse = (reason: string) => {
        raw.destroy();
        onRefused(reason);
      };
      const begin = () => {
        handshakes.enter(raw);
        encrypted.emit('connection', raw);
      };
      turnstile.pass(raw, begin, refuse);
    });
  });
  const handshakes = boundHandshakes({ server, encrypted }, options, (connection) => {
    const reason = connection.alpnProtocol === 'h2' ? undefined : 'the client speaks no HTTP/2 (ALPN h2)';
    if (reason === undefined) options.onConnection(connection);
    return reason;
  });
  return { server, use: (material) => encrypted.setSecureContext(contextOf(material)) };
}

/** Closes the connection when nothing comes in time. */
function onceHeard(raw: Socket, withinMs: number, onRefused: (reason: string) => void, take: () => void): void {
  const refuse = (reason: string) => {
    raw.off('close', lost);
    raw.destroy();
    onRefused(reason);
  };
  const lost = () => onRefused(printable(raw.errored?.message ?? 'the client said nothing', 256));
  raw.once('close', lost);
  raw.on('error', () => {});
  raw.setTimeout(withinMs, () => refuse('TLS handshake timeout'));
  // Also when the client has ended it.
  raw.once('readable', () => {
    raw.setTimeout(0);
    if (raw.readableLength === 0) {
      refuse('the client said nothing');
      return;
    }
    raw.off('close', lost);
    take();
  });
}

export function tlsOptions({ material, handshakeMs = HANDSHAKE_MS }: HandshakeOptions, protocol: string): TlsOptions {
  return {
    ...contextOf(material),
    // Given as a list Node copies it for each connection, and three bytes hold a slab of 64 KB in which others were for a moment.
    ALPNCallback: ({ protocols }) => (protocols.includes(protocol) ? protocol : undefined),
    handshakeTimeout: handshakeMs,
    requestCert: material.clientAuthorities !== undefined,
    // A certificate is one way of two to say who one is, so that it may be missing; a bad one is refused below.
    rejectUnauthorized: false,
  };
}

/** What is silent, or shakes hands: who waits to begin is not counted. */
interface Handshakes {
  enter(raw: Socket): void;
  leave(raw: Socket): void;
}

/** `take` is given what is left over, and says why it does not want it. Connections come to `server`, and `encrypted` shakes hands. */
export function boundHandshakes(
  { server, encrypted }: { readonly server: PlainServer; readonly encrypted: Server },
  { material, onRefused = () => {}, maxHandshakes = MAX_HANDSHAKES }: HandshakeOptions,
  take: (connection: TLSSocket) => string | undefined,
): Handshakes {
  const askClients = material.clientAuthorities !== undefined;
  /** In the order of their arrival. A connection is known by its other end while Node does not tell which TLS socket is whose. */
  const handshakes = new Map<string, Socket>();
  const enter = (raw: Socket) => {
    handshakes.set(endOf(raw), raw);
    const [oldest] = handshakes.values();
    if (handshakes.size > maxHandshakes) oldest?.destroy(new Error('more handshakes are under way than are allowed'));
  };
  const leave = (raw: Socket) => handshakes.delete(endOf(raw));
  server.on('connection', (raw: Socket) => {
    const end = endOf(raw);
    enter(raw);
    raw.once('close', () => {
      if (handshakes.get(end) === raw) handshakes.delete(end);
    });
  });
  encrypted.on('secureConnection', (connection) => {
    handshakes.delete(endOf(connection));
    // From here on errors are HTTP/2's; without a listener one in between would end the process.
    connection.on('error', () => {});
    const reason = refusalOf(connection, askClients) ?? take(connection);
    if (reason === undefined) return;
    connection.destroy();
    onRefused(reason);
  });
  encrypted.on('tlsClientError', (error, connection) => {
    handshakes.delete(endOf(connection));
    connection.destroy();
    onRefused(printable(messageOf(error), 256));
  });
  return { enter, leave };
}

function refusalOf(connection: TLSSocket, askClients: boolean): string | undefined {
  if (!askClients || connection.authorized || connection.getPeerX509Certificate() === undefined) return undefined;
  return printable(`the certificate of the client is not accepted: ${messageOf(connection.authorizationError)}`, 256);
}

export function contextOf({ cert, key, clientAuthorities }: ServerMaterial) {
  return {
    cert,
    key,
    ...(clientAuthorities === undefined ? {} : { ca: clientAuthorities }),
    minVersion: 'TLSv1.2',
    // A session that is resumed is not checked against authorities that have been taken back since.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  } as const;
}

function endOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}
