/**
 * Servers in namespaces that say who they are and whom they see: on one number, TCP and UDP, IPv4 and IPv6. All run in the
 * process of the test; only their sockets belong to the namespace.
 */
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Socket, type Server as TcpServer } from 'node:net';
import type { Namespace } from '../namespace.ts';

export class Server implements Disposable {
  readonly name: string;
  readonly #tcp: TcpServer;
  readonly #udp: UdpSocket;
  readonly #connections = new Set<Socket>();

  /**
   * Listens when the constructor returns. A UDP socket on every address answers from the one that the route prescribes:
   * where that is not the one it was asked at, `udpAddress` names that.
   */
  constructor(namespace: Namespace, port: number, name: string, udpAddress = '::') {
    this.name = name;
    this.#tcp = createServer({ noDelay: true }, (socket) => this.#accept(socket));
    this.#udp = createSocket({ type: 'udp6', lookup: atOnce });
    this.#udp.on('message', (_message, peer) => {
      this.#udp.send(this.#answer(peer.address), peer.port, peer.address, () => {});
    });
    namespace.enter(() => {
      this.#tcp.listen({ port, backlog: 1_024 });
      this.#udp.bind(port, udpAddress);
    });
  }

  /** Whom this server sees. */
  #answer(peer: string | undefined): string {
    return `${this.name} sees ${peer?.replace('::ffff:', '')}`;
  }

  /** One answer for each message; the connection stays until the client ends it. */
  #accept(socket: Socket): void {
    this.#connections.add(socket);
    socket.on('data', () => socket.write(this.#answer(socket.remoteAddress)));
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#connections.delete(socket));
  }

  /** As when the pod's processes are killed: open connections are reset. */
  [Symbol.dispose](): void {
    this.#tcp.close();
    this.#udp.close();
    for (const socket of this.#connections) socket.resetAndDestroy();
  }
}

/** A lookup that answers before it returns: the socket is then made in the namespace that the thread is in at the moment. */
export function atOnce(
  host: string,
  _options: unknown,
  answer: (error: Error | null, address: string, family: number) => void,
): void {
  answer(null, host, host.includes(':') ? 6 : 4);
}
