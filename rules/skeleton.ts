/**
 * The table `inet berth` without its elements, as nft text, and the transactions that bring it to its form. Text, because
 * nftables' JSON of 1.0.6 cannot declare a map with a concatenated value. Pure.
 *
 * A new version may add sets and change chains and rules freely. It must never give a set another type under the same name:
 * that cannot be redeclared, so all mappings would be gone for a moment.
 */
import type { SetName } from './element.ts';
import { LAYOUTS } from './layout.ts';

export const FAMILY = 'inet';
export const TABLE = 'berth';

/** Stands as the comment of the table's first rule: unlike the table's own comment, it changes when rules are replaced. */
export const SKELETON_VERSION = 1;

/** A chain that hangs in a hook of the kernel. `hook` in words of nft, `priority` as a number. */
export interface BaseChain {
  readonly type: 'filter' | 'nat';
  readonly hook: 'prerouting' | 'input' | 'output' | 'postrouting';
  readonly priority: number;
}

/**
 * Every chain; undefined for those that are only reached from another. NAT priorities are 10 before the usual ones (-100 and
 * 100), which kube-proxy and portmap use: the first NAT decides, and a mapping is never applied twice.
 */
export const CHAINS: Readonly<Record<string, BaseChain | undefined>> = {
  guard: { type: 'filter', hook: 'prerouting', priority: -300 },
  pre: { type: 'nat', hook: 'prerouting', priority: -110 },
  out: { type: 'nat', hook: 'output', priority: -110 },
  in: { type: 'filter', hook: 'input', priority: 0 },
  post: { type: 'nat', hook: 'postrouting', priority: 90 },
  gate4: undefined,
  gate6: undefined,
  hostports4: undefined,
  hostports6: undefined,
  post4: undefined,
  post6: undefined,
  own4: undefined,
  own6: undefined,
  near: undefined,
};

/**
 * A packet's way: `guard` first. A new connection to an address of the node goes `pre` → `gate` → `hostports` when it comes
 * from outside, `out` → `hostports` when the node itself opens it; `post` then masks the source where the answer would not
 * find its way back. What reaches `in` was not translated. A chain that is left by `accept` leaves the packet as it is to
 * every other program's chains.
 */
export const SKELETON = `table inet berth {
	comment "berth.dev: host ports of pods"

	# pod ports by (address,) protocol and host port
	map any4 { type inet_proto . inet_service : ipv4_addr . inet_service; }
	map any6 { type inet_proto . inet_service : ipv6_addr . inet_service; }
	map host4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr . inet_service; }
	map host6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr . inet_service; }

	# blocks: only the address is replaced, the number stays
	map anyblock4 { type inet_proto . inet_service : ipv4_addr; flags interval; }
	map anyblock6 { type inet_proto . inet_service : ipv6_addr; flags interval; }
	map hostblock4 { type ipv4_addr . inet_proto . inet_service : ipv4_addr; flags interval; }
	map hostblock6 { type ipv6_addr . inet_proto . inet_service : ipv6_addr; flags interval; }

	# host ports that not every source may use, and who may
	set limited { type inet_proto . inet_service; }
	set limitedhost4 { type ipv4_addr . inet_proto . inet_service; }
	set limitedhost6 { type ipv6_addr . inet_proto . inet_service; }
	set allow4 { type inet_proto . inet_service . ipv4_addr; flags interval; }
	set allow6 { type inet_proto . inet_service . ipv6_addr; flags interval; }
	set allowhost4 { type ipv4_addr . inet_proto . inet_service . ipv4_addr; flags interval; }
	set allowhost6 { type ipv6_addr . inet_proto . inet_service . ipv6_addr; flags interval; }

	# UDP host ports: a packet that was not translated is answered in place of the held socket
	set udpany { type inet_service; }
	set udphost4 { type ipv4_addr . inet_service; }
	set udphost6 { type ipv6_addr . inet_service; }

	# protocol . host port . pod . pod: which translated connections are Berth's. nftables cannot compare source and
	# destination with each other, so the pod stands there twice
	set hairpin4 { type inet_proto . inet_service . ipv4_addr . ipv4_addr; }
	set hairpin6 { type inet_proto . inet_service . ipv6_addr . ipv6_addr; }

	# bridges with pods, each name twice
	set samedev { type ifname . ifname; }

	# the addresses at which the node serves host ports
	set nodeaddr4 { type ipv4_addr; }
	set nodeaddr6 { type ipv6_addr; }

	# route_localnet lets neighbours reach 127.0.0.1 of the node (CVE-2020-8558): not past this chain
	chain guard {
		${base('guard')}
		iifname != "lo" ip daddr 127.0.0.0/8 drop comment "berth skeleton ${SKELETON_VERSION}"
	}

	# both tests: an address may have left the node, and a virtual address (IPVS) is local too
	chain pre {
		${base('pre')}
		ip daddr @nodeaddr4 fib daddr type local goto gate4
		ip6 daddr @nodeaddr6 fib daddr type local goto gate6
	}

	# no gate: the node itself is always allowed
	chain out {
		${base('out')}
		ip daddr 127.0.0.0/8 goto hostports4
		ip daddr @nodeaddr4 fib daddr type local goto hostports4
		ip6 daddr @nodeaddr6 fib daddr type local goto hostports6
	}

	chain gate4 {
		meta l4proto . th dport @limited meta l4proto . th dport . ip saddr != @allow4 accept
		ip daddr . meta l4proto . th dport @limitedhost4 ip daddr . meta l4proto . th dport . ip saddr != @allowhost4 accept
		goto hostports4
	}

	chain gate6 {
		meta l4proto . th dport @limited meta l4proto . th dport . ip6 saddr != @allow6 accept
		ip6 daddr . meta l4proto . th dport @limitedhost6 ip6 daddr . meta l4proto . th dport . ip6 saddr != @allowhost6 accept
		goto hostports6
	}

	# a rule whose lookup finds nothing does nothing
	chain hostports4 {
		dnat ip addr . port to ip daddr . meta l4proto . th dport map @host4
		dnat ip addr . port to meta l4proto . th dport map @any4
		dnat ip to ip daddr . meta l4proto . th dport map @hostblock4
		dnat ip to meta l4proto . th dport map @anyblock4
	}

	chain hostports6 {
		dnat ip6 addr . port to ip6 daddr . meta l4proto . th dport map @host6
		dnat ip6 addr . port to meta l4proto . th dport map @any6
		dnat ip6 to ip6 daddr . meta l4proto . th dport map @hostblock6
		dnat ip6 to meta l4proto . th dport map @anyblock6
	}

	# the held UDP socket swallows what reaches it; TCP is answered by the kernel, SCTP has no socket
	chain in {
		${base('in')}
		meta l4proto != udp accept
		ip daddr . udp dport @udphost4 reject with icmpx type port-unreachable
		ip6 daddr . udp dport @udphost6 reject with icmpx type port-unreachable
		udp dport != @udpany accept
		ip daddr 127.0.0.0/8 reject with icmpx type port-unreachable
		ip daddr @nodeaddr4 reject with icmpx type port-unreachable
		ip6 daddr ::1 reject with icmpx type port-unreachable
		ip6 daddr fe80::/10 reject with icmpx type port-unreachable
		ip6 daddr @nodeaddr6 reject with icmpx type port-unreachable
	}

	chain post {
		${base('post')}
		ct status & dnat == 0 accept
		ct original ip daddr 127.0.0.0/8 goto post4
		ct original ip daddr @nodeaddr4 goto post4
		ct original ip6 daddr @nodeaddr6 goto post6
	}

	# \`ct original proto-dst\` has no type in nft before the rule names a protocol. A pod that reaches itself is masqueraded;
	# every other connection of Berth's is looked at in \`own\`; other programs' connections pass
	chain post4 {
		meta l4proto tcp meta l4proto . ct original proto-dst . ip saddr . ip daddr @hairpin4 masquerade
		meta l4proto udp meta l4proto . ct original proto-dst . ip saddr . ip daddr @hairpin4 masquerade
		meta l4proto sctp meta l4proto . ct original proto-dst . ip saddr . ip daddr @hairpin4 masquerade
		meta l4proto tcp meta l4proto . ct original proto-dst . ip daddr . ip daddr @hairpin4 goto own4
		meta l4proto udp meta l4proto . ct original proto-dst . ip daddr . ip daddr @hairpin4 goto own4
		meta l4proto sctp meta l4proto . ct original proto-dst . ip daddr . ip daddr @hairpin4 goto own4
	}

	chain post6 {
		meta l4proto tcp meta l4proto . ct original proto-dst . ip6 saddr . ip6 daddr @hairpin6 masquerade
		meta l4proto udp meta l4proto . ct original proto-dst . ip6 saddr . ip6 daddr @hairpin6 masquerade
		meta l4proto sctp meta l4proto . ct original proto-dst . ip6 saddr . ip6 daddr @hairpin6 masquerade
		meta l4proto tcp meta l4proto . ct original proto-dst . ip6 daddr . ip6 daddr @hairpin6 goto own6
		meta l4proto udp meta l4proto . ct original proto-dst . ip6 daddr . ip6 daddr @hairpin6 goto own6
		meta l4proto sctp meta l4proto . ct original proto-dst . ip6 daddr . ip6 daddr @hairpin6 goto own6
	}

	# An element counts from its commit on, in the middle of a packet's way: a packet that looked for the limit just before
	# and for the mapping just after is let through by the gate. This look is later than both
	chain own4 {
		fib saddr type local goto near
		meta l4proto tcp meta l4proto . ct original proto-dst @limited meta l4proto . ct original proto-dst . ip saddr != @allow4 drop
		meta l4proto udp meta l4proto . ct original proto-dst @limited meta l4proto . ct original proto-dst . ip saddr != @allow4 drop
		meta l4proto sctp meta l4proto . ct original proto-dst @limited meta l4proto . ct original proto-dst . ip saddr != @allow4 drop
		meta l4proto tcp ct original ip daddr . meta l4proto . ct original proto-dst @limitedhost4 ct original ip daddr . meta l4proto . ct original proto-dst . ip saddr != @allowhost4 drop
		meta l4proto udp ct original ip daddr . meta l4proto . ct original proto-dst @limitedhost4 ct original ip daddr . meta l4proto . ct original proto-dst . ip saddr != @allowhost4 drop
		meta l4proto sctp ct original ip daddr . meta l4proto . ct original proto-dst @limitedhost4 ct original ip daddr . meta l4proto . ct original proto-dst . ip saddr != @allowhost4 drop
		goto near
	}

	chain own6 {
		fib saddr type local goto near
		meta l4proto tcp meta l4proto . ct original proto-dst @limited meta l4proto . ct original proto-dst . ip6 saddr != @allow6 drop
		meta l4proto udp meta l4proto . ct original proto-dst @limited meta l4proto . ct original proto-dst . ip6 saddr != @allow6 drop
		meta l4proto sctp meta l4proto . ct original proto-dst @limited meta l4proto . ct original proto-dst . ip6 saddr != @allow6 drop
		meta l4proto tcp ct original ip6 daddr . meta l4proto . ct original proto-dst @limitedhost6 ct original ip6 daddr . meta l4proto . ct original proto-dst . ip6 saddr != @allowhost6 drop
		meta l4proto udp ct original ip6 daddr . meta l4proto . ct original proto-dst @limitedhost6 ct original ip6 daddr . meta l4proto . ct original proto-dst . ip6 saddr != @allowhost6 drop
		meta l4proto sctp ct original ip6 daddr . meta l4proto . ct original proto-dst @limitedhost6 ct original ip6 daddr . meta l4proto . ct original proto-dst . ip6 saddr != @allowhost6 drop
		goto near
	}

	# neighbours on one bridge, and the node's loopback: the answer would never come back this way
	chain near {
		iifname . oifname @samedev masquerade
		ip saddr 127.0.0.0/8 oifname != "lo" masquerade
	}
}
`;

/** How many rules each chain has. */
export const RULE_COUNTS: ReadonlyMap<string, number> = countRules(SKELETON);

/** In this text a chain's lines are one each: its header and its rules. */
function countRules(text: string): ReadonlyMap<string, number> {
  const chains = [...text.matchAll(/^\tchain (\w+) \{\n((?:\t\t.*\n)*)\t\}$/gm)];
  return new Map(
    chains.map(([, chain = '', body = '']) => {
      const lines = body.split('\n').filter((line) => line !== '' && !line.startsWith('\t\ttype '));
      return [chain, lines.length];
    }),
  );
}

function base(chain: string): string {
  const found = CHAINS[chain];
  return found === undefined ? '' : `type ${found.type} hook ${found.hook} priority ${found.priority}; policy accept;`;
}

/** What stands in the table, by name. */
export interface TableObjects {
  /** Every chain. */
  readonly chains: readonly string[];
  /** Those that the skeleton does not have, or has in another form. */
  readonly wrongChains: readonly string[];
  /** The sets that are as the skeleton has them. */
  readonly sets: readonly SetName[];
  /** Every other one. */
  readonly wrongSets: readonly string[];
}

/** Without their elements a mapping with an allow-list is open to everybody. */
const LIMITS: readonly SetName[] = ['limited', 'limitedhost4', 'limitedhost6'];

/**
 * One transaction that replaces every rule and keeps every element of the sets that are as they should be; what is wrong is
 * deleted first. No connection meets a table half made. Undefined when somebody chose a name that nft's text cannot hold
 * (over netlink every name is possible).
 */
export function redeclaration({ chains, wrongChains, sets, wrongSets }: TableObjects): string | undefined {
  if (![...chains, ...wrongSets].every(isIdentifier)) return undefined;
  // Rather no mapping for a moment than an open one: both come back in one transaction.
  const closed = LIMITS.every((set) => sets.includes(set)) ? [] : sets.filter((set) => LAYOUTS[set].value.length > 0);
  return [
    ...closed.map((map) => `flush map inet berth ${map}`),
    ...chains.map((chain) => `flush chain inet berth ${chain}`),
    // Sets first: a verdict map holds on to the chains that it names.
    ...wrongSets.map((set) => `delete set inet berth ${set}`),
    ...wrongChains.map((chain) => `delete chain inet berth ${chain}`),
    SKELETON,
  ].join('\n');
}

/** One transaction that makes the table anew, without elements. The first line keeps the second from failing. */
export const RECREATION = `table inet berth\ndelete table inet berth\n${SKELETON}`;

function isIdentifier(text: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_-]{0,127}$/.test(text);
}
