/**
 * The text of the state file: `{"version":1,"grants":[…],"resting":[…],"settings":[…],"epoch":1}`. What does not fit the format
 * never gets through, whoever wrote it: a name may reach a log, a number a socket, and a setting a path. No I/O.
 */
import { isIP } from 'node:net';
import * as v from 'valibot';
import type { AgentState, ChangedSetting, Grant, Resting } from '../core/state.ts';

export const STATE_VERSION = 1;

/** What could be understood of a text: everything, a part (`problem` says what is missing), or nothing. */
export interface Decoded {
  readonly state: AgentState | undefined;
  readonly problem?: string;
}

const MAX_PORT = 65_535;
const port = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_PORT));
const protocol = v.picklist(['TCP', 'UDP', 'SCTP']);
const size = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(256));
// Kubernetes: namespaces are RFC 1123 labels, pods RFC 1123 subdomains.
const namespace = v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/));
const pod = v.pipe(v.string(), v.regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/));
// The name part of an annotation key; a mapping of a static hostPort belongs to no pool.
const name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/));
const pool = v.pipe(v.string(), v.regex(/^([A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?)?$/));
// A UUID from the API server; static pods had 32 hexadecimal digits before Kubernetes made mirror pods.
const uid = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,63}$/));
const address = v.pipe(
  v.string(),
  v.check((text) => isIP(text) !== 0 && !text.includes('%'), 'not an IP address'),
);

/** In ms since the epoch. */
const instant = v.pipe(v.number(), v.finite(), v.minValue(0));

const grant: v.GenericSchema<unknown, Grant> = v.pipe(
  v.object({
    uid,
    namespace,
    pod,
    name,
    protocol,
    pool,
    // Of the same form as the name of a pod.
    claim: v.exactOptional(pod),
    hostPort: port,
    size,
    hostIP: v.exactOptional(address),
    containerPort: port,
    givenAt: v.exactOptional(instant),
  } satisfies Record<keyof Grant, v.GenericSchema>),
  v.check(({ hostPort, size }) => hostPort + size - 1 <= MAX_PORT, 'the block ends above port 65535'),
);

/** Nobody may ever have known which pod a number was released by: a rule was found, but no state and no pod. */
const unknown = v.literal('');

const resting: v.GenericSchema<unknown, Resting> = v.pipe(
  v.object({
    namespace: v.union([namespace, unknown]),
    pod: v.union([pod, unknown]),
    name,
    protocol,
    pool,
    hostPort: port,
    size,
    releasedAt: instant,
  } satisfies Record<keyof Resting, v.GenericSchema>),
  v.check(({ hostPort, size }) => hostPort + size - 1 <= MAX_PORT, 'the block ends above port 65535'),
);

// `berth uninstall` writes `before` to the file below /proc/sys that `setting` names: no way may lead out of net.
const setting: v.GenericSchema<unknown, ChangedSetting> = v.object({
  setting: v.pipe(
    v.string(),
    v.regex(/^net[./][A-Za-z0-9_.:@/-]{1,200}$/),
    v.check((text) => !text.includes('..') && !text.includes('//') && !text.includes('/./'), 'not a setting below net'),
  ),
  before: v.pipe(v.string(), v.maxLength(262_144), v.regex(/^[\t\x20-\x7e]*$/)),
  added: v.exactOptional(
    v.pipe(v.string(), v.maxLength(262_144), v.regex(/^\d{1,5}(-\d{1,5})?(,\d{1,5}(-\d{1,5})?)*$/)),
  ),
} satisfies Record<keyof ChangedSetting, v.GenericSchema>);

const epoch = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(Number.MAX_SAFE_INTEGER));

const envelope = v.object({
  version: v.literal(STATE_VERSION),
  grants: v.array(v.unknown()),
  resting: v.array(v.unknown()),
  settings: v.array(v.unknown()),
  epoch: v.exactOptional(v.unknown()),
});

export function encodeState(state: AgentState): string {
  const { grants, resting, settings, epoch } = state;
  return `${JSON.stringify({ version: STATE_VERSION, grants, resting, settings, epoch })}\n`;
}

/** Entries that are not valid are left out one by one; a text that is no state file at all gives no state. Never throws. */
export function decodeState(text: string): Decoded {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    return { state: undefined, problem: 'it is not JSON (torn, or written by another program)' };
  }
  const outer = v.safeParse(envelope, content, { abortEarly: true });
  if (!outer.success) return { state: undefined, problem: whyNot(content, outer.issues[0]) };
  const bad: string[] = [];
  const state: AgentState = {
    grants: validOf(grant, outer.output.grants, 'grants', bad),
    resting: validOf(resting, outer.output.resting, 'resting', bad),
    settings: validOf(setting, outer.output.settings, 'settings', bad),
    ...epochOf(outer.output.epoch, bad),
  };
  if (bad.length === 0) return { state };
  return { state, problem: `${bad.length} of its entries are not valid and were left out, the first is ${bad[0]}` };
}

function validOf<T>(schema: v.GenericSchema<unknown, T>, entries: unknown[], list: string, bad: string[]): T[] {
  const valid: T[] = [];
  for (const [index, entry] of entries.entries()) {
    const parsed = v.safeParse(schema, entry, { abortEarly: true });
    if (parsed.success) valid.push(parsed.output);
    else bad.push([list, index, v.getDotPath(parsed.issues[0])].filter((part) => part !== null).join('.'));
  }
  return valid;
}

function epochOf(value: unknown, bad: string[]): Pick<AgentState, 'epoch'> {
  if (value === undefined) return {};
  if (v.is(epoch, value)) return { epoch: value };
  bad.push('epoch');
  return {};
}

function whyNot(content: unknown, issue: v.BaseIssue<unknown>): string {
  const version = typeof content === 'object' && content !== null && 'version' in content ? content.version : undefined;
  if (Number.isInteger(version) && version !== STATE_VERSION) {
    return `it has version ${version}, this agent knows version ${STATE_VERSION}`;
  }
  return `it is not a state file of Berth (${v.getDotPath(issue) ?? 'no object'})`;
}
