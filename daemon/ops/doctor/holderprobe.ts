/**
 * Who has a host port: the sockets that the kernel lists in /proc/net, and the process that each belongs to. A TCP socket
 * that is bound and does not listen is in no list before Linux 6.8: whether there is one only an attempt to bind tells.
 */
import { readdir, readFile } from 'node:fs/promises';
import { parseAddress } from '../../core/address.ts';
import { type Seen, seen, unseen } from '../../core/diagnosis.ts';
import { messageOf } from '../../core/errors.ts';
import { addressText } from '../../core/iptext.ts';
import type { Reservation } from '../../core/vocabulary.ts';
import { processName, socketsOf } from './agentprobe.ts';
import type { Holder } from './facts.ts';

interface Listed {
  readonly address: string;
  readonly inode: string;
}

/** Every socket of the namespace that is alive, by `<protocol>/<local port>`. */
export type SocketList = ReadonlyMap<string, readonly Listed[]>;

/** Processes beyond are not searched for the owner of a socket. */
const MAX_PROCESSES = 20_000;
/** How long that search may take, in ms. */
const SEARCH_MS = 2_000;

/** Empty where /proc cannot be read. A socket in TIME_WAIT has no inode, and holds nothing. */
export async function listSockets(): Promise<SocketList> {
  const list = new Map<string, Listed[]>();
  for (const protocol of ['TCP', 'UDP'] as const) {
    for (const table of [protocol.toLowerCase(), `${protocol.toLowerCase()}6`]) {
      // Without IPv6 there is no second list.
      const text = await readFile(`/proc/net/${table}`, 'latin1').catch(() => '');
      for (const line of text.split('\n').slice(1)) {
        const [, local = '', , , , , , , , inode = '0'] = line.trim().split(/\s+/);
        if (inode === '0') continue;
        const colon = local.indexOf(':');
        const key = `${protocol}/${Number.parseInt(local.slice(colon + 1), 16)}`;
        const entry = { address: localAddress(local.slice(0, colon)), inode };
        const known = list.get(key);
        if (known === undefined) list.set(key, [entry]);
        else known.push(entry);
      }
    }
  }
  return list;
}

export interface HolderProbe {
  readonly sockets: SocketList;
  /** The process with the agent's lock. */
  readonly agent: number | undefined;
  /** Binds the number and gives it back at once; false when it is taken. Throws when that cannot be known. */
  readonly isFree: (reservation: Reservation) => boolean;
}

/** Who has these numbers, from that of the reservation on: the first that is not the agent. Never rejects. */
export async function probeHolder(reservation: Reservation, size: number, probe: HolderProbe): Promise<Seen<Holder>> {
  try {
    const own: readonly string[] | undefined =
      probe.agent === undefined ? [] : await socketsOf(probe.agent).catch(() => undefined);
    let all: Seen<Holder> = seen({ kind: 'agent' });
    for (let port = reservation.port; port < reservation.port + size; port++) {
      const one = await holderOf({ ...reservation, port }, probe, own);
      if (one.kind === 'unseen' || one.value.kind === 'nobody' || one.value.kind === 'process') return one;
      if (one.value.kind === 'bound') all = one;
    }
    return all;
  } catch (error) {
    return unseen(messageOf(error));
  }
}

/** `own`: the sockets of the agent; undefined when they may not be looked at. */
async function holderOf(
  reservation: Reservation,
  { sockets, isFree }: HolderProbe,
  own: readonly string[] | undefined,
): Promise<Seen<Holder>> {
  const { protocol, port, hostIP } = reservation;
  const listed = (sockets.get(`${protocol}/${port}`) ?? []).filter(({ address }) => concerns(address, hostIP));
  const [first] = listed;
  if (first === undefined) {
    if (protocol === 'UDP') return seen({ kind: 'nobody' });
    return seen({ kind: isFree(reservation) ? 'nobody' : 'bound' });
  }
  const foreign = listed.find(({ inode }) => !own?.includes(inode));
  if (foreign === undefined) return seen({ kind: 'agent' });
  const owner = await ownerOf(foreign.inode);
  if (owner !== undefined) return seen({ kind: 'process', process: { pid: owner, name: await processName(owner) } });
  // A TCP socket in the lists listens or is connected: the agent's never do.
  if (protocol === 'TCP') return seen({ kind: 'process' });
  return unseen('the processes of other users may not be looked at: it takes root to see this');
}

/** `0100007F`: words of 32 bits in the order of the machine, which is little-endian wherever koffi runs. */
function localAddress(text: string): string {
  return addressText(Buffer.from(text, 'hex').swap32()) ?? '';
}

/** "Any address" conflicts with every address. */
function concerns(address: string, hostIP: string | undefined): boolean {
  return hostIP === undefined || address === '0.0.0.0' || address === '::' || address === parseAddress(hostIP)?.text;
}

/** Undefined when no process that may be looked at has this socket. */
async function ownerOf(inode: string): Promise<number | undefined> {
  const end = performance.now() + SEARCH_MS;
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).slice(0, MAX_PROCESSES);
  for (const pid of pids) {
    if (performance.now() > end) return undefined;
    const own: readonly string[] = await socketsOf(Number(pid)).catch(() => []);
    if (own.includes(inode)) return Number(pid);
  }
  return undefined;
}
