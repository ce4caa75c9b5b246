/**
 * Reports for a node with a token that it is given, as the agent does, and prints how that ended: `CODE message`, or `accepted`.
 *
 * Arguments: HOST PORT CA SERVER_NAME TOKEN NODE.
 */
import { status } from '@grpc/grpc-js';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { grpcConnector } from '../../daemon/rpc/reportconnector.ts';
import { Reporter } from '../../daemon/rpc/reporter.ts';
import { targetNameOptions, tlsCredentials } from '../../daemon/rpc/tls/channel.ts';
import { ChannelFiles } from '../../daemon/trust/channelfiles.ts';
import { readToken } from '../../daemon/trust/files.ts';

import { SILENT } from '../rpc/silent.ts';

const [host = '', port, authorities = '', name, token = '', node = ''] = process.argv.slice(2);
const { promise: ended, resolve } = Promise.withResolvers<string>();
const material = new ChannelFiles({ authorities }, (error) => resolve(String(error)));
const channel = tlsCredentials({ material, identified: false, token: () => readToken(token) });
using reporter = new Reporter({
  registry: new MappingRegistry(),
  targets: [{ host, port: Number(port), literal: true }],
  agent: { node, bootID: 'impostor', epoch: 2 ** 40, version: '0' },
  addresses: () => [],
  pools: () => [],
  connect: grpcConnector(channel, targetNameOptions(name)),
  resolve: () => Promise.reject(new Error('no names')),
  clock: systemClock,
  random: () => 0,
  observer: {
    ...SILENT,
    connected: () => resolve('accepted'),
    lost: (_address, code, details) => resolve(`${status[code]} ${details}`),
  },
});
reporter.start();
console.log(await ended);
