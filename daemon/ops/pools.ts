/**
 * Pools as people configure them, made into PoolConfig: the list under the key `pools` of a YAML file, or `NAME=RANGES`
 * of a flag. What is wrong is refused as a whole; nothing here looks at the node.
 */
import * as v from 'valibot';
import { CLAIM_POOL } from '../core/claim.ts';
import { messageOf } from '../core/errors.ts';
import { POOL_DEFAULTS, type PoolConfig, type PortRange } from '../core/pool.ts';
import { STATIC_POOL } from '../core/staticports.ts';
import { quoted } from '../core/text.ts';
import { parseConfig, readConfigText, refuseUnknownKeys } from './configfile.ts';
import { cidrs, dnsLabel, duration, invalid, isMapping, labels, portRange } from './values.ts';

/** Bounds what one file can ask of every pass. */
const MAX_POOLS = 64;
const MAX_RANGES = 64;

/** Numbers below need a capability that the agent does not have (NET_BIND_SERVICE). */
const LOWEST_PORT = 1024;

const quarantine = duration('0s', '24h');
const COUNT = v.pipe(
  v.number('must be a number'),
  v.integer('must be a whole number'),
  v.minValue(1, 'must be 1 or more'),
);
const TEXTS = v.array(v.string('must hold texts'), 'must be a list');

/** Types only; what the texts mean is checked behind it. */
const POOL = v.object(
  {
    name: v.string('must be a text: the name that pods give in berth.dev/pool'),
    ranges: v.union(
      [v.string(), v.array(v.union([v.string(), v.number()]))],
      'must be a text such as "7000-7999,8500-8599", or a list of such texts',
    ),
    namespaces: v.optional(TEXTS),
    hostIPs: v.optional(TEXTS),
    nodeSelector: v.optional(
      v.custom<Readonly<Record<string, unknown>>>(isMapping, 'must hold labels, such as disk: ssd'),
    ),
    maxPortsPerPod: v.optional(COUNT),
    maxPerNamespace: v.optional(COUNT),
    quarantine: v.optional(v.string('must be a duration, such as 60s')),
  },
  'is required: a pool has a name and ranges',
);

/** The list under the key `pools`. Throws CONFIG_INVALID. */
export function parsePools(list: unknown): readonly PoolConfig[] {
  if (!Array.isArray(list) || list.length === 0)
    throw invalid('pools must be a list of at least one pool, with name and ranges');
  return checked(list.map((item: unknown, index) => parsePool(item, `pools[${index}]`)));
}

/** `games=7000-7999,8500-8599`, one text a pool, as `--pool` has it. Throws CONFIG_INVALID. */
export function parsePoolTexts(texts: readonly string[]): readonly PoolConfig[] {
  return checked(
    texts.map((text) => {
      const at = text.indexOf('=');
      if (at < 0) throw invalid(`${quoted(text)} is not NAME=RANGES, such as games=7000-7999,8500-8599`);
      return { name: dnsLabel(text.slice(0, at)), ranges: parseRanges(text.slice(at + 1)), ...POOL_DEFAULTS };
    }),
  );
}

/** The pools of a file that holds nothing else (`--pools-file`). Throws CONFIG_INVALID. */
export function parsePoolsFile(text: string, path: string): readonly PoolConfig[] {
  const content = parseConfig(text, path);
  refuseUnknownKeys(content, ['pools'], path);
  return within(path, () => parsePools(content.pools));
}

export function readPoolsFile(path: string): readonly PoolConfig[] {
  return parsePoolsFile(readConfigText(path), path);
}

/** Refuses pools that reach into the range from which Kubernetes takes NodePorts. Throws CONFIG_INVALID. */
export function refuseNodePorts(pools: readonly PoolConfig[], nodePorts: PortRange): void {
  for (const { name, ranges } of pools) {
    const range = ranges.find((one) => overlap(one, nodePorts));
    if (range === undefined) continue;
    throw invalid(
      `pool ${name}: ${text(range)} overlaps the NodePorts of Services, ${text(nodePorts)}: choose numbers outside of it, ` +
        'or set --node-port-range to what the API server has as --service-node-port-range',
    );
  }
}

function parsePool(item: unknown, where: string): PoolConfig {
  if (!isMapping(item)) throw invalid(`${where} must have keys: name and ranges`);
  const place = typeof item.name === 'string' ? `${where} (${quoted(item.name)})` : where;
  refuseUnknownKeys(item, Object.keys(POOL.entries), place);
  const result = v.safeParse(POOL, Object.fromEntries(Object.entries(item).filter(([, value]) => value !== null)));
  if (!result.success) {
    const [issue] = result.issues;
    throw invalid(`${place}: ${v.getDotPath(issue) ?? ''} ${issue.message}`);
  }
  const { name, ranges, namespaces = [], hostIPs = [], nodeSelector, maxPerNamespace } = result.output;
  return within(place, () => ({
    name: dnsLabel(name),
    ranges: parseRanges(ranges),
    ...(namespaces.length > 0 ? { namespaces: namespaces.map(dnsLabel) } : {}),
    ...(hostIPs.length > 0 ? { hostIPs: cidrs(hostIPs) } : {}),
    ...(nodeSelector === undefined ? {} : { nodeSelector: labels(Object.entries(nodeSelector)) }),
    maxPortsPerPod: result.output.maxPortsPerPod ?? POOL_DEFAULTS.maxPortsPerPod,
    ...(maxPerNamespace === undefined ? {} : { maxPerNamespace }),
    quarantineMs:
      result.output.quarantine === undefined ? POOL_DEFAULTS.quarantineMs : quarantine(result.output.quarantine),
  }));
}

/** In ascending order. */
function parseRanges(given: string | readonly (string | number)[]): readonly PortRange[] {
  const texts = typeof given === 'string' ? given.split(',') : given.map(String);
  if (texts.length === 0 || texts.length > MAX_RANGES) throw invalid(`a pool has from 1 to ${MAX_RANGES} ranges`);
  const ranges = texts.map(portRange).sort((a, b) => a.first - b.first);
  for (const [index, range] of ranges.entries()) {
    if (range.first < LOWEST_PORT) {
      throw invalid(
        `${text(range)} reaches below ${LOWEST_PORT}, where a privilege is needed: choose numbers from ${LOWEST_PORT} on`,
      );
    }
    const next = ranges[index + 1];
    if (next !== undefined && overlap(range, next))
      throw invalid(`the ranges ${text(range)} and ${text(next)} overlap: join them`);
  }
  return ranges;
}

function checked(pools: readonly PoolConfig[]): readonly PoolConfig[] {
  if (pools.length > MAX_POOLS) throw invalid(`there are ${pools.length} pools; at most ${MAX_POOLS} are allowed`);
  for (const [index, pool] of pools.entries()) {
    if (pool.name === STATIC_POOL.name)
      throw invalid(`no pool may be named ${pool.name}: static hostPorts are listed under it; choose another name`);
    if (pool.name === CLAIM_POOL.name)
      throw invalid(`no pool may be named ${pool.name}: claimed host ports are listed under it; choose another name`);
    for (const other of pools.slice(0, index)) {
      if (other.name === pool.name)
        throw invalid(`two pools are named ${pool.name}: join their ranges in one, or rename one`);
      refuseOverlap(other, pool);
    }
  }
  return pools;
}

function refuseOverlap(one: PoolConfig, other: PoolConfig): void {
  if (neverOnOneNode(one, other)) return;
  for (const range of one.ranges) {
    const taken = other.ranges.find((candidate) => overlap(range, candidate));
    if (taken === undefined) continue;
    throw invalid(
      `pools ${one.name} and ${other.name} overlap (${text(range)} and ${text(taken)}): a number belongs to one pool`,
    );
  }
}

/** Their selectors ask for different values of one label. */
function neverOnOneNode(one: PoolConfig, other: PoolConfig): boolean {
  return Object.entries(one.nodeSelector ?? {}).some(([key, value]) => {
    const wanted = other.nodeSelector ?? {};
    return Object.hasOwn(wanted, key) && wanted[key] !== value;
  });
}

function overlap(one: PortRange, other: PortRange): boolean {
  return one.first <= other.last && other.first <= one.last;
}

function text({ first, last }: PortRange): string {
  return first === last ? `${first}` : `${first}-${last}`;
}

/** Adds the place to the message of what `parse` throws. */
function within<T>(place: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw invalid(`${place}: ${messageOf(error)}`, error);
  }
}
