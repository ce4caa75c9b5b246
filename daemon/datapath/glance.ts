/**
 * The table `inet berth`, the tracked flows and the way to a pod as they are at this moment, for whoever only wants to know.
 * It must never repair, delete or set anything: that is what `Table`, `ConntrackFlows` and `NodeNetwork` are for.
 */
import { type Element, elementId } from '../../rules/element.ts';
import { parseAddress } from '../core/address.ts';
import { type Seen, seen, unseen } from '../core/diagnosis.ts';
import type { Flow } from '../core/flow.ts';
import { isErrno } from '../native/errno.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '../native/netlink.ts';
import type { FlowPorts } from '../reconcile/ports.ts';
import { CT_GET, everyEntry, portKeys, readFlow } from './conntrack.ts';
import { deviceByIndex } from './devices.ts';
import { readElements } from './dump.ts';
import { deviceToward } from './routes.ts';
import { blindness, sight } from './sight.ts';
import { deviation, readTableState } from './tablestate.ts';

export interface TableGlance {
  /** In what the table is other than the skeleton of this version: empty when in nothing. Undefined: there is no table. */
  readonly deviation: string | undefined;
  /** By elementId. */
  readonly elements: ReadonlyMap<string, Element>;
}

/** The ruleset may change while it is read. */
const READ_ATTEMPTS = 5;

/** Never rejects. */
export async function glanceAtTable(): Promise<Seen<TableGlance>> {
  try {
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      await using socket = NetlinkSocket.open(NETLINK_NETFILTER);
      const state = readTableState(socket);
      if (state === undefined) return seen({ deviation: undefined, elements: new Map() });
      const elements = await elementsOrNone(socket);
      if (elements === undefined) continue;
      return seen({ deviation: deviation(state), elements: new Map(elements.map((one) => [elementId(one), one])) });
    }
    return unseen(`the ruleset changed during all ${READ_ATTEMPTS} attempts to read it`);
  } catch (error) {
    return blindness(error);
  }
}

/** None when a set is missing: the deviation says which. Undefined when the ruleset changed meanwhile. */
async function elementsOrNone(socket: NetlinkSocket): Promise<readonly Element[] | undefined> {
  try {
    return await readElements(socket);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return [];
    throw error;
  }
}

/** The flows whose original destination port is one of these. Never rejects. */
export async function glanceAtFlows(ports: readonly FlowPorts[]): Promise<Seen<readonly Flow[]>> {
  const keys = portKeys(ports);
  try {
    await using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    const flows: Flow[] = [];
    await socket.scan(CT_GET, everyEntry(), ({ body }) => {
      const flow = readFlow(body, keys);
      if (flow !== undefined) flows.push(flow);
    });
    return seen(flows);
  } catch (error) {
    return blindness(error);
  }
}

/** The device on which the pod is a neighbour of the node. */
export interface Way {
  readonly device: string;
  readonly kind: string | undefined;
  readonly routeLocalnet: boolean;
}

/** Undefined when no route leads there, or only one over another router. Never throws. */
export function glanceAtWay(podIP: string): Seen<Way | undefined> {
  return sight(() => {
    using socket = NetlinkSocket.open(NETLINK_ROUTE);
    const address = parseAddress(podIP);
    const index = address && deviceToward(socket, address);
    if (index === undefined) return undefined;
    const { name, kind, routeLocalnet } = deviceByIndex(socket, index);
    return { device: name, kind, routeLocalnet };
  });
}
