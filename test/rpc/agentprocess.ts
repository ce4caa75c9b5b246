/**
 * Agents as a process of their own, to be killed, stopped or counted apart:
 *
 *     ADDRESSES NODE EPOCH [COUNT [CA]]      reports to each of the addresses, divided by commas, with one mapping a node
 *
 * With COUNT there are so many agents, of NODE-0, NODE-1 …, and with CA (a file) they come over TLS, with the token `NODE-0` …
 */
import { readFileSync } from 'node:fs';
import { MappingRegistry } from '../../daemon/core/registry.ts';
import { systemClock } from '../../daemon/ops/clock.ts';
import { grpcConnector } from '../../daemon/rpc/reportconnector.ts';
import { Reporter } from '../../daemon/rpc/reporter.ts';
import { tlsCredentials } from '../../daemon/rpc/tls/channel.ts';
import { mapping, NOW } from './fixture.ts';

import { SILENT } from './silent.ts';

const [addresses = '', name = '', epoch = '1', count, ca] = process.argv.slice(2);
const targets = addresses.split(',').map((address) => {
  const [host = '', port = ''] = address.split(':');
  return { host, port: Number(port), literal: true };
});
const authorities = ca === undefined ? undefined : readFileSync(ca, 'utf8');

function connectorOf(node: string) {
  if (authorities === undefined) return grpcConnector();
  const material = {
    follow: (use: (material: { authorities: string }) => void) => {
      use({ authorities });
      return () => {};
    },
  };
  return grpcConnector(tlsCredentials({ material, identified: false, token: async () => node }));
}

const nodes = count === undefined ? [name] : Array.from({ length: Number(count) }, (_, index) => `${name}-${index}`);
for (const node of nodes) {
  const registry = new MappingRegistry(16);
  registry.set(node, mapping('web'), NOW);
  const reporter = new Reporter({
    registry,
    targets,
    agent: { node, bootID: 'boot-1', epoch: Number(epoch), version: '1.2.3' },
    addresses: () => [],
    pools: () => [],
    connect: connectorOf(node),
    resolve: () => Promise.reject(new Error('no names here')),
    clock: systemClock,
    random: Math.random,
    observer: {
      ...SILENT,
      lost: (_address, code, details) => process.stdout.write(`${node} ${code} ${details}\n`),
    },
  });
  reporter.start();
}
