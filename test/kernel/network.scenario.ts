/** Opens both switches for a pod and prints what came of it: run by network.test.ts with as few rights as the agent has. */
import { readFileSync, writeFileSync } from 'node:fs';
import { messageOf } from '../../daemon/core/errors.ts';
import type { NodeAddress } from '../../daemon/core/vocabulary.ts';
import { NodeNetwork } from '../../daemon/datapath/network.ts';
import type { PodRoute } from '../../daemon/reconcile/ports.ts';
import { until } from './namespace.ts';

export interface Report {
  /** Why /proc/sys could not be written. */
  readonly readOnly: string;
  /** The effective capabilities, as in /proc/self/status. */
  readonly capabilities: string;
  readonly addresses: readonly NodeAddress[];
  readonly route: PodRoute | undefined;
  /** What `openLoopback` answered, and what stood in /proc/sys afterwards. */
  readonly loopback: boolean;
  readonly setting: string;
}

const [podIP = '', device = ''] = process.argv.slice(2);
const setting = `/proc/sys/net/ipv4/conf/${device}/route_localnet`;

function refusal(action: () => void): string {
  try {
    action();
    return '';
  } catch (error) {
    return messageOf(error);
  }
}

using network = new NodeNetwork();
const readOnly = refusal(() => writeFileSync(setting, '1'));
const capabilities = /^CapEff:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '';
const route = network.route(podIP);
const loopback = network.openLoopback(device);
await until(() => network.openHairpin(podIP, device), 'the bridge knows the pod');
const addresses = network.addresses();
const result: Report = {
  readOnly,
  capabilities,
  addresses,
  route,
  loopback,
  setting: readFileSync(setting, 'utf8').trim(),
};
console.log(JSON.stringify(result));
