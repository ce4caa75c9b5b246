/** An HTTP/1.1 server over TLS, with the bounds on handshakes that the listener for gRPC has. Certificates are replaced in place. */
import type { RequestListener, Server, ServerOptions } from 'node:http';
import { createServer, type Server as HttpsServer } from 'node:https';
import { boundHandshakes, contextOf, type HandshakeOptions, type ServerMaterial, tlsOptions } from './listener.ts';

export interface HttpsMaker {
  /** To be told where to listen, and to be closed. */
  readonly createServer: (settings: ServerOptions, answer: RequestListener) => Server;
  /** From now on for every new connection. Throws when OpenSSL cannot use it; what was used before stays. */
  use(material: ServerMaterial): void;
}

/** What is shown before `use` is called: whether clients are asked for certificates is settled by it. */
export function httpsMaker(options: HandshakeOptions): HttpsMaker {
  const servers = new Set<HttpsServer>();
  let material = options.material;
  return {
    createServer: (settings, answer) => {
      const server = createServer({ ...settings, ...tlsOptions({ ...options, material }, 'http/1.1') }, answer);
      boundHandshakes({ server, encrypted: server }, options, () => undefined);
      servers.add(server);
      server.once('close', () => servers.delete(server));
      return server;
    },
    use: (next) => {
      for (const server of servers) server.setSecureContext(contextOf(next));
      material = next;
    },
  };
}
