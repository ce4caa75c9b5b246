/** How the simulated agents and the clients reach the aggregator: over TLS, with a token. */
import { Client } from '@grpc/grpc-js';
import { CHANNEL_OPTIONS, KEEPALIVE_OPTIONS } from '../../../daemon/rpc/channeloptions.ts';
import { targetNameOptions, tlsCredentials } from '../../../daemon/rpc/tls/channel.ts';
import { READER_TOKEN } from './population.ts';

/** Agents and clients resolve the Service's name to the addresses of replicas, and demand a certificate for the name. */
export const NAMED = targetNameOptions('berth-aggregator.berth-system.svc');

export interface Place {
  /** `host:port`. */
  readonly address: string;
  /** PEM. */
  readonly authorities: string;
}

export function credentialsOf({ authorities }: Place, token: string) {
  const material = {
    follow: (use: (material: { readonly authorities: string }) => void) => {
      use({ authorities });
      return () => {};
    },
  };
  return tlsCredentials({ material, identified: false, token: async () => token });
}

/** A connection of its own, of the client that may read everything. */
export function readerAt(place: Place): Client {
  return new Client(place.address, credentialsOf(place, READER_TOKEN), {
    ...CHANNEL_OPTIONS,
    ...KEEPALIVE_OPTIONS,
    ...NAMED,
    'grpc.max_receive_message_length': 64 * 1024 * 1024,
  });
}
