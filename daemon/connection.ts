/** Makes clients of what options were read into: the channel, the certificates, the token. */
import { type Asked, refuseUnsafe } from './ops/asked.ts';
import { BerthClient } from './rpc/berthclient.ts';
import { agentEndpoint, aggregatorEndpoint } from './rpc/endpoint.ts';
import { tlsCredentials } from './rpc/tls/channel.ts';
import { ChannelFiles } from './trust/channelfiles.ts';
import { readToken } from './trust/files.ts';

/** It connects with its first call. Throws CONFIG_INVALID for files that cannot be used, and for what is not safe. */
export function connectTo(asked: Asked): BerthClient {
  if (asked.kind === 'agent') return new BerthClient([agentEndpoint(asked.socket)]);
  refuseUnsafe(asked);
  const { targets, authorities, serverName: name, token, cert, key } = asked;
  if (authorities === undefined) return new BerthClient(targets.map((target) => aggregatorEndpoint(target)));
  const paths = { authorities, ...(cert && key ? { identity: { cert, key } } : {}) };
  const material = materialOf(paths);
  const channel = tlsCredentials({
    material,
    identified: cert !== undefined,
    ...(token === undefined ? {} : { token: () => readToken(token) }),
  });
  const endpoints = targets.map((target) => aggregatorEndpoint(target, channel, name));
  return new BerthClient(endpoints, () => material[Symbol.dispose]());
}

/** Throws for files that cannot be used now; when they are replaced later by such, those that were good stay in use. */
function materialOf(paths: ConstructorParameters<typeof ChannelFiles>[0]): ChannelFiles {
  const errors: Error[] = [];
  const material = new ChannelFiles(paths, (error) => errors.push(error));
  const [error] = errors;
  if (error === undefined) return material;
  material[Symbol.dispose]();
  throw error;
}
