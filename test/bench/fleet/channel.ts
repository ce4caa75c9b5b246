/** How the simulated agents and the clients reach the aggregator: over TLS, with a token. */
import { createSecureContext, type SecureContext } from 'node:tls';
import { CallCredentials, type ChannelCredentials, Client, credentials, Metadata } from '@grpc/grpc-js';
import { CHANNEL_OPTIONS, KEEPALIVE_OPTIONS } from '../../../daemon/rpc/channeloptions.ts';
import { targetNameOptions } from '../../../daemon/rpc/tls/channel.ts';
import { READER_TOKEN } from './population.ts';

/** Agents and clients resolve the Service's name to the addresses of replicas, and demand a certificate for the name. */
export const NAMED = targetNameOptions('berth-aggregator.berth-system.svc');

export interface Place {
  /** `host:port`. */
  readonly address: string;
  /** PEM. */
  readonly authorities: string;
}

/**
 * As `tlsCredentials`, but for one thing: what is trusted is read once in a process and not twice for each connection, which an agent does on a node of
 * its own. What goes over the wire is the same.
 */
export function credentialsOf({ authorities }: Place, token: string): ChannelCredentials {
  const context = contexts.get(authorities) ?? createSecureContext({ ca: authorities });
  contexts.set(authorities, context);
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const bearer = CallCredentials.createFromMetadataGenerator((_, answer) => answer(null, metadata));
  return credentials.createFromSecureContext(context).compose(bearer);
}

const contexts = new Map<string, SecureContext>();

/** A connection of its own, of the client that may read everything. */
export function readerAt(place: Place): Client {
  return new Client(place.address, credentialsOf(place, READER_TOKEN), {
    ...CHANNEL_OPTIONS,
    ...KEEPALIVE_OPTIONS,
    ...NAMED,
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
  });
}
