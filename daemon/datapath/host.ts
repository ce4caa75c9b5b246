/**
 * What the host around the mappings is like: whether it forwards, filters, and lets answers come back, and who else
 * translates. Reads only, in the network namespace of the caller; what cannot be read is said, never guessed.
 */
import { readFileSync } from 'node:fs';
import { CHAINS, FAMILY, TABLE } from '../../rules/skeleton.ts';
import {
  type ForwardFinding,
  type HookedChain,
  type HostFacts,
  type Passage,
  seen,
  type Uplink,
} from '../core/diagnosis.ts';
import type { NodeAddress } from '../core/vocabulary.ts';
import { NETLINK_NETFILTER, NETLINK_ROUTE, NetlinkSocket } from '../native/netlink.ts';
import { type BaseChain, baseChains, rulesOf, type TableRules } from './chains.ts';
import { forwardVerdict } from './forwarding.ts';
import { bridgeFilter, ebpfDevices, hostDevices, servedServices, setting, uplinks } from './hostdevices.ts';
import { legacyForward } from './legacytables.ts';
import { blindness, furtherSight, sight } from './sight.ts';

export interface HostLook {
  /** At which the node serves host ports. */
  readonly addresses: readonly NodeAddress[];
  /** The connections that the chains of the forward hook are asked about. Without `input` they come in by an uplink. */
  readonly passages: readonly Passage[];
}

/** Never rejects. Everything that belongs to a namespace is opened or read before the first await. */
export async function readHost({ addresses, passages }: HostLook): Promise<HostFacts> {
  const devices = sight(() => withRoutes(hostDevices));
  const facts = {
    forwarding: {
      4: sight(() => setting('ipv4/ip_forward') === 1),
      6: sight(() => setting('ipv6/conf/all/forwarding') === 1),
    },
    uplinks: furtherSight(devices, (all) => withRoutes((socket) => uplinks(socket, addresses, all))),
    reversePathDrops: sight(reversePathDrops),
    ebpfDevices: furtherSight(devices, ebpfDevices),
    serviceAddresses: furtherSight(devices, (all) => withRoutes((socket) => servedServices(socket, addresses, all))),
    bridgeFilter: furtherSight(devices, bridgeFilter),
  };
  const input = facts.uplinks.kind === 'seen' ? outermost(facts.uplinks.value) : undefined;
  const complete = passages.map((passage) => (input === undefined ? passage : { input, ...passage }));
  return { ...facts, ...(await readRuleset(complete)) };
}

/** The device through which clients most likely come: that of the default route, or else the first. */
function outermost(all: readonly Uplink[]): string | undefined {
  return (all.find(({ device, replyDevice }) => device === replyDevice) ?? all[0])?.device;
}

function withRoutes<T>(read: (socket: NetlinkSocket) => T): T {
  using socket = NetlinkSocket.open(NETLINK_ROUTE);
  return read(socket);
}

async function readRuleset(passages: readonly Passage[]): Promise<Pick<HostFacts, 'earlierNat' | 'forward'>> {
  const legacy = sight(() => legacyFindings(passages));
  try {
    await using socket = NetlinkSocket.open(NETLINK_NETFILTER);
    const chains = await baseChains(socket);
    const found = await forwardFindings(socket, chains, passages);
    return { earlierNat: seen(earlierNat(chains)), forward: furtherSight(legacy, (more) => [...found, ...more]) };
  } catch (error) {
    return { earlierNat: blindness(error), forward: blindness(error) };
  }
}

/** At the same priority the one that was registered first comes first. */
function earlierNat(chains: readonly BaseChain[]): readonly HookedChain[] {
  const own = CHAINS.pre?.priority ?? 0;
  return chains.filter(
    ({ family, table, type, hook, priority }) =>
      type === 'nat' && hook === 'prerouting' && priority <= own && !(family === FAMILY && table === TABLE),
  );
}

async function forwardFindings(
  socket: NetlinkSocket,
  chains: readonly BaseChain[],
  passages: readonly Passage[],
): Promise<readonly ForwardFinding[]> {
  const tables = new Map<string, TableRules>();
  const findings: ForwardFinding[] = [];
  for (const chain of chains) {
    if (chain.hook !== 'forward' || chain.type !== 'filter') continue;
    const key = `${chain.family} ${chain.table}`;
    const rules = tables.get(key) ?? (await rulesOf(socket, chain));
    tables.set(key, rules);
    for (const passage of passages) {
      if (chain.family !== 'inet' && chain.family !== (passage.family === 4 ? 'ip' : 'ip6')) continue;
      findings.push({ chain, passage, verdict: forwardVerdict(chain.name, chain.policy, rules, passage) });
    }
  }
  return findings;
}

/** Of legacy iptables only the policy is read: whether one of its rules accepts is left undecided. */
function legacyFindings(passages: readonly Passage[]): readonly ForwardFinding[] {
  const forward = legacyForward();
  if (forward === undefined) return [];
  const chain = { family: 'legacy', table: 'filter', name: 'FORWARD', type: 'filter', hook: 'forward', priority: 0 };
  const verdict = forward.policy === 'accept' ? 'accepts' : forward.rules === 0 ? 'drops' : 'undecided';
  return passages.filter(({ family }) => family === 4).map((passage) => ({ chain, passage, verdict }));
}

/** IPReversePathFilter in /proc/net/netstat: a line of names and a line of numbers. Throws when it is not there. */
function reversePathDrops(): number {
  const lines = readFileSync('/proc/net/netstat', 'utf8').split('\n');
  const [names = [], numbers = []] = lines.filter((line) => line.startsWith('TcpExt:')).map((line) => line.split(' '));
  const drops = Number(numbers[names.indexOf('IPReversePathFilter')]);
  if (Number.isInteger(drops)) return drops;
  throw new Error('/proc/net/netstat has no IPReversePathFilter');
}
