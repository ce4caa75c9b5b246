/**
 * The table `filter` of iptables without nf_tables ("legacy", IPv4), which no listing of nf_tables shows. Reads only, and
 * only where the table exists already: to ask for one that does not makes the kernel create it.
 */
import { readFileSync } from 'node:fs';
import { check, close, libcFunction, socket } from '../native/libc.ts';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOL_IP = 0;
const IPT_SO_GET_INFO = 64;
const IPT_SO_GET_ENTRIES = 65;
/** sizeof(struct ipt_getinfo) */
const INFO = 84;
/** Where the entries begin in struct ipt_get_entries. */
const ENTRIES = 40;
/** Offsets in struct ipt_entry, and of the verdict in its standard target. */
const TARGET_OFFSET = 88;
const NEXT_OFFSET = 90;
const VERDICT = 32;
/** In the arrays of struct ipt_getinfo: NF_INET_FORWARD is 2. */
const HOOK_ENTRY = 36 + 4 * 2;
const UNDERFLOW = 56 + 4 * 2;
const SIZE = 80;
/** -NF_DROP - 1 */
const DROP = -1;

const getsockopt = libcFunction<
  (fd: number, level: number, option: number, value: Uint8Array, length: Uint32Array) => number
>('int getsockopt(int, int, int, void *, void *)');

export interface LegacyForward {
  readonly policy: 'accept' | 'drop';
  /** How many rules the chain FORWARD has. */
  readonly rules: number;
}

/** Undefined when there is no such table. Throws SYSCALL_FAILED, or what reading /proc throws (EACCES: not root). */
export function legacyForward(): LegacyForward | undefined {
  if (!tableNames().includes('filter')) return undefined;
  const fd = socket(AF_INET, SOCK_DGRAM, 0);
  try {
    const info = request(fd, IPT_SO_GET_INFO, INFO);
    const size = info.readUInt32LE(SIZE);
    const entries = request(fd, IPT_SO_GET_ENTRIES, ENTRIES + size, size).subarray(ENTRIES);
    const end = info.readUInt32LE(UNDERFLOW);
    let rules = 0;
    for (let at = info.readUInt32LE(HOOK_ENTRY); at < end; rules++) {
      const step = entries.readUInt16LE(at + NEXT_OFFSET);
      if (step === 0) break;
      at += step;
    }
    const verdict = entries.readInt32LE(end + entries.readUInt16LE(end + TARGET_OFFSET) + VERDICT);
    return { policy: verdict === DROP ? 'drop' : 'accept', rules };
  } finally {
    close(fd);
  }
}

/** The tables that exist in this network namespace; the file is missing where the kernel has no legacy iptables. */
function tableNames(): readonly string[] {
  try {
    return readFileSync('/proc/net/ip_tables_names', 'utf8').split('\n');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
    throw error;
  }
}

function request(fd: number, option: number, length: number, size = 0): Buffer {
  const buffer = Buffer.alloc(length);
  buffer.write('filter', 'latin1');
  // IPT_SO_GET_ENTRIES compares this with the size that it told before.
  if (option === IPT_SO_GET_ENTRIES) buffer.writeUInt32LE(size, 32);
  check('getsockopt', getsockopt()(fd, SOL_IP, option, buffer, Uint32Array.of(length)));
  return buffer;
}
