/**
 * How an agent or a client talks to an aggregator over TLS: whom it trusts, under which name, and how it says who it is. Files
 * may change at any time; each connection takes what they hold then, and each call the token of that moment. A token is never
 * sent but over TLS: without an authority there are no such credentials.
 */
import { CallCredentials, type ChannelCredentials, experimental, Metadata } from '@grpc/grpc-js';

/** PEM; an identity is a client certificate and its key. */
export interface ChannelMaterial {
  readonly authorities: string;
  readonly identity?: { readonly cert: string; readonly key: string };
}

/** Material that may be replaced. `follow` calls back at once when there is some, and with every change; returns how to stop that. */
export interface MaterialSource {
  follow(use: (material: ChannelMaterial) => void): () => void;
}

export interface ChannelOptions {
  readonly material: MaterialSource;
  /** Whether `material` has an identity. */
  readonly identified: boolean;
  /** The token of this moment. Rejects when there is none. */
  readonly token?: () => Promise<string>;
}

type Provider = Parameters<typeof experimental.createCertificateProviderChannelCredentials>[0];

/** For a client whose channel has `targetNameOptions`. */
export function tlsCredentials({ material, identified, token }: ChannelOptions): ChannelCredentials {
  const provider = providerOf(material);
  const channel = experimental.createCertificateProviderChannelCredentials(provider, identified ? provider : null);
  if (token === undefined) return channel;
  return channel.compose(
    CallCredentials.createFromMetadataGenerator((_, answer) => {
      token().then(
        (text) => {
          const metadata = new Metadata();
          metadata.set('authorization', `Bearer ${text}`);
          answer(null, metadata);
        },
        (error: Error) => answer(error),
      );
    }),
  );
}

/** An address proves nothing about who answers there: the name in the certificate is what is asked for. */
export function targetNameOptions(serverName: string | undefined): Readonly<Record<string, string>> {
  return serverName === undefined ? {} : { 'grpc.ssl_target_name_override': serverName };
}

/** As grpc-js takes what changes: it calls listeners back when it opens a connection, and holds what they were told last. */
function providerOf(source: MaterialSource): Provider {
  const stops = new Map<unknown, () => void>();
  const add = (listener: unknown, use: (material: ChannelMaterial) => void) => stops.set(listener, source.follow(use));
  const remove = (listener: unknown) => {
    stops.get(listener)?.();
    stops.delete(listener);
  };
  return {
    addCaCertificateListener: (listener) =>
      void add(listener, ({ authorities }) => listener({ caCertificate: Buffer.from(authorities) })),
    removeCaCertificateListener: remove,
    addIdentityCertificateListener: (listener) =>
      void add(listener, ({ identity }) => {
        const { cert, key } = identity ?? { cert: '', key: '' };
        listener(identity ? { certificate: Buffer.from(cert), privateKey: Buffer.from(key) } : null);
      }),
    removeIdentityCertificateListener: remove,
  };
}
