/** BD6xx: whether mappings can work on this host at all. The agent warns of the same at its start. Pure. */
import {
  type Finding,
  type FindingStatus,
  type ForwardFinding,
  finding,
  type HookedChain,
  type HopCode,
  type HostFacts,
  type Passage,
  type Seen,
} from '../../core/diagnosis.ts';
import { quoted } from '../../core/text.ts';
import type { Family, NodeAddress } from '../../core/vocabulary.ts';
import { command } from './command.ts';

/** For which pod the host is judged; without a pod everything that could matter is said. */
export interface HostQuestion {
  /** The families of the pod's addresses; absent: no pod is named. */
  readonly families?: ReadonlySet<Family>;
}

export function hostFindings(facts: HostFacts, { families }: HostQuestion = {}): readonly Finding[] {
  return [
    forwardingFinding(facts, families ?? new Set([4])),
    forwardFinding(facts, families !== undefined),
    earlierFinding(facts.earlierNat),
    reverseFinding(facts, families !== undefined),
    ebpfFinding(facts.ebpfDevices),
    ipvsFinding(facts.serviceAddresses),
    bridgeFinding(facts.bridgeFilter),
  ];
}

/** What to ask the forward hook about while no pod is named: a new connection in each family that is served. */
export function nodePassages(addresses: readonly NodeAddress[]): readonly Passage[] {
  return [...new Set(addresses.map(({ family }) => family))].map((family) => ({ family }));
}

/** One line for each thing that is wrong with the host, for the log of the agent. */
export function hostWarnings(facts: HostFacts): readonly string[] {
  return hostFindings(facts)
    .filter(({ status }) => status === 'warn' || status === 'fail')
    .map(({ code, says, command }) => `${says} (${code}; ${command})`);
}

function forwardingFinding({ forwarding, uplinks }: HostFacts, families: ReadonlySet<Family>): Finding {
  const names = { 4: 'net.ipv4.ip_forward', 6: 'net.ipv6.conf.all.forwarding' } as const;
  for (const family of families) {
    const set = command('sysctl', '-w', `${names[family]}=1`);
    const fact = forwarding[family];
    if (fact.kind === 'unseen') return finding('BD601', 'unknown', `${names[family]} cannot be read: ${fact.why}`, set);
    if (!fact.value) return finding('BD601', 'fail', `${names[family]} is off: nothing is forwarded to pods`, set);
  }
  const all = uplinks.kind === 'seen' && families.has(4) ? uplinks.value : [];
  const deaf = all.filter(({ forwards }) => !forwards);
  const [first] = deaf;
  if (first !== undefined) {
    const says = `forwarding is off on ${quoted(first.device)}: what comes in there, for ${first.address}, reaches no pod`;
    const set = command('sysctl', '-w', `net/ipv4/conf/${first.device}/forwarding=1`);
    return finding('BD601', deaf.length === all.length ? 'fail' : 'warn', says, set);
  }
  const on = [...families].map((family) => names[family]);
  return finding('BD601', 'ok', `the host forwards (${on.join(', ')})`, command('sysctl', ...on));
}

function forwardFinding({ forward, forwarding }: HostFacts, ofPod: boolean): Finding {
  const code = 'BD602';
  if (forward.kind === 'unseen') return unseenFinding(code, 'the filters of the forward hook', forward.why);
  // What is not forwarded at all meets no filter.
  const met = forward.value.filter(({ passage }) => {
    const on = forwarding[passage.family];
    return on.kind === 'unseen' || on.value;
  });
  const found = (verdict: ForwardFinding['verdict']) => met.find((one) => one.verdict === verdict);
  const drops = found('drops');
  if (drops !== undefined) {
    const says = `${chainText(drops.chain)} drops ${passageText(drops, ofPod)}: accept what was translated (ct status dnat)`;
    return finding(code, 'fail', says, showChain(drops.chain));
  }
  const undecided = found('undecided');
  if (undecided !== undefined) {
    const says = `${chainText(undecided.chain)} drops what none of its rules accepts; whether one accepts ${passageText(undecided, ofPod)} cannot be told`;
    return finding(code, ofPod ? 'unknown' : 'warn', says, showChain(undecided.chain));
  }
  return finding(code, 'ok', 'no filter of the forward hook drops what goes to pods', 'nft list ruleset');
}

function passageText({ passage }: ForwardFinding, ofPod: boolean): string {
  const { family, destination, port, protocol, input, output } = passage;
  if (!ofPod) return `new connections to pods (IPv${family})`;
  const way = `${input === undefined ? '' : ` from ${input}`}${output === undefined ? '' : ` to ${output}`}`;
  return `new ${protocol ?? ''} connections${way} for ${destination} port ${port}`;
}

function earlierFinding(earlier: Seen<readonly HookedChain[]>): Finding {
  const code = 'BD603';
  if (earlier.kind === 'unseen') return unseenFinding(code, 'the NAT chains of other programs', earlier.why);
  const [first] = earlier.value;
  if (first === undefined) {
    return finding(code, 'ok', "no other program translates packets before Berth's chains", 'nft list chains');
  }
  const names = earlier.value.map((chain) => `${chainText(chain)} (priority ${chain.priority})`).join(', ');
  return finding(
    code,
    'warn',
    `${names} comes first: what it translates never reaches Berth's rules`,
    showChain(first),
  );
}

/** Whether clients come from beyond the routers is not known: that packets were dropped says that some do. */
function reverseFinding({ uplinks, reversePathDrops }: HostFacts, ofPod: boolean): Finding {
  const code = 'BD604';
  if (uplinks.kind === 'unseen') return unseenFinding(code, 'the reverse path filter', uplinks.why);
  const drops = reversePathDrops.kind === 'seen' ? reversePathDrops.value : 0;
  const bad = uplinks.value.find(
    ({ strict, device, replyDevice }) => strict && replyDevice !== undefined && replyDevice !== device,
  );
  if (bad === undefined) {
    return finding(
      code,
      'ok',
      'answers leave through the device through which clients come in, or rp_filter is not strict',
      'ip route',
    );
  }
  const { device, address, replyDevice = '' } = bad;
  const says = `rp_filter is strict on ${quoted(device)} (${address}), but answers to clients beyond the routers leave through ${quoted(replyDevice)}: what such clients send is dropped`;
  const set = command('sysctl', '-w', `net/ipv4/conf/${device}/rp_filter=2`);
  if (drops === 0) return finding(code, 'warn', says, set);
  return finding(code, ofPod ? 'fail' : 'warn', `${says} (${drops} packets since boot)`, set);
}

function ebpfFinding(devices: Seen<readonly string[]>): Finding {
  const code = 'BD605';
  if (devices.kind === 'unseen') return unseenFinding(code, 'the devices of the host', devices.why);
  if (devices.value.length === 0) {
    return finding(code, 'ok', 'no device of an eBPF datapath is there', 'ip -brief link');
  }
  const names = devices.value.slice(0, 3).map(quoted).join(', ');
  const says = `${names}: a CNI with an eBPF datapath is at work; with eBPF host routing, answers of pods bypass the translation back (Cilium: set bpf.hostLegacyRouting=true)`;
  return finding(code, 'warn', says, 'ip -brief link');
}

function ipvsFinding(services: HostFacts['serviceAddresses']): Finding {
  const code = 'BD606';
  const show = 'ip address show dev kube-ipvs0';
  if (services.kind === 'unseen') return unseenFinding(code, 'the addresses of kube-ipvs0', services.why);
  if (services.value === undefined) return finding(code, 'ok', 'there is no IPVS proxy', 'ip -brief link');
  if (services.value.length === 0)
    return finding(code, 'ok', 'addresses of Services (kube-ipvs0) are not served', show);
  const says = `${services.value.join(', ')} of kube-ipvs0 is also an address of another device and is served: host ports win over the Service there; leave it out of --host-addresses`;
  return finding(code, 'warn', says, show);
}

function bridgeFinding(filter: HostFacts['bridgeFilter']): Finding {
  const code = 'BD607';
  const set = 'modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1';
  if (filter.kind === 'unseen') return unseenFinding(code, 'bridge-nf-call-iptables', filter.why);
  if (filter.value === undefined) return finding(code, 'ok', 'there is no bridge', 'ip -brief link show type bridge');
  if (filter.value)
    return finding(code, 'ok', 'bridged packets pass netfilter', 'sysctl net.bridge.bridge-nf-call-iptables');
  const says =
    'bridge-nf-call-iptables is off: pods of one bridge that reach each other by host port see the address of the node';
  return finding(code, 'warn', says, set);
}

function chainText({ family, table, name }: HookedChain): string {
  const where = family === 'legacy' ? 'iptables-legacy' : `${family} ${quoted(table)}`;
  return `chain ${quoted(name)} of table ${where}`;
}

function showChain({ family, table, name }: HookedChain): string {
  if (family === 'legacy') return command('iptables-legacy', '-nvL', name);
  return command('nft', '-a', 'list', 'chain', family, table, name);
}

function unseenFinding(code: HopCode, what: string, why: string, status: FindingStatus = 'unknown'): Finding {
  return finding(code, status, `${what} cannot be seen: ${why}`, '');
}
