/** Where a client asks: the agent of a node at its unix socket, or one replica of an aggregator. Opens nothing. */
import { resolve as absolute } from 'node:path';
import { type ChannelCredentials, type ClientOptions, credentials, type ServiceError, status } from '@grpc/grpc-js';
import { BerthError } from '../core/errors.ts';
import { printable } from '../core/text.ts';
import { whyAggregatorFailed } from './aggregatorfailure.ts';
import { CHANNEL_OPTIONS, KEEPALIVE_OPTIONS } from './channeloptions.ts';
import { hostPort } from './reachable.ts';
import { targetNameOptions } from './tls/channel.ts';
import { whyAgentFailed } from './unreachable.ts';

export interface Endpoint {
  /** Whom it answers for. */
  readonly scope: 'node' | 'cluster';
  /** As grpc-js takes it. */
  readonly target: string;
  readonly credentials: ChannelCredentials;
  readonly options: ClientOptions;
  /** How long a connection may take, in ms. */
  readonly connectMs: number;
  /** Why a call failed, in words that name the endpoint and the remedy. */
  explain(error: ServiceError): Promise<string>;
  /** What is behind it, where that is not what grpc-js says. */
  cause?(error: ServiceError): ServiceError;
}

/** grpc-js itself waits 20 s for an address that swallows everything. */
const CONNECT_MS = 5_000;

export function agentEndpoint(socketPath: string): Endpoint {
  return {
    scope: 'node',
    target: `unix:${absolute(socketPath)}`,
    credentials: credentials.createInsecure(),
    options: CHANNEL_OPTIONS,
    connectMs: CONNECT_MS,
    explain: (error) => whyAgentFailed(error, socketPath),
  };
}

export interface AggregatorAddress {
  readonly host: string;
  readonly port: number;
}

/** `channel`: plaintext unless it is given. `serverName`: the name in the certificate, where it is not the host. */
export function aggregatorEndpoint(
  address: AggregatorAddress,
  channel: ChannelCredentials = credentials.createInsecure(),
  serverName?: string,
): Endpoint {
  const shown = hostPort(address.host, address.port);
  return {
    scope: 'cluster',
    // Of a name with several addresses grpc-js tries each.
    target: `dns:///${shown}`,
    credentials: channel,
    options: { ...CHANNEL_OPTIONS, ...KEEPALIVE_OPTIONS, ...targetNameOptions(serverName) },
    connectMs: CONNECT_MS,
    explain: async (error) => whyAggregatorFailed(error, shown),
  };
}

/**
 * An aggregator behind a unix socket of this process that leads to it. `why`: what stood in the way last. `askingMs`: how long it may take
 * to find out where to.
 */
export function forwardedEndpoint(socketPath: string, why: () => Error | undefined, askingMs = 0): Endpoint {
  const connectMs = askingMs + CONNECT_MS;
  return {
    scope: 'cluster',
    target: `unix:${absolute(socketPath)}`,
    credentials: credentials.createInsecure(),
    options: { ...CHANNEL_OPTIONS, ...KEEPALIVE_OPTIONS },
    connectMs,
    explain: async (error) => {
      if (error.code !== status.UNAVAILABLE) return whyAggregatorFailed(error, 'the other end of the forwarding');
      const silent = /not connected in time/.test(error.details)
        ? `no answer within ${connectMs / 1_000} s; --request-timeout gives the API server longer`
        : error.details;
      const reason = why()?.message ?? silent;
      return `the aggregator cannot be reached through the API server: ${printable(reason, 512)}`;
    },
    // What the API server refuses does not pass by itself.
    cause: (error) => {
      const reason = error.code === status.UNAVAILABLE ? why() : undefined;
      const refused = reason instanceof BerthError && reason.code === 'API_REFUSED';
      return refused ? Object.assign(new Error(reason.message), { ...error, code: status.PERMISSION_DENIED }) : error;
    },
  };
}
