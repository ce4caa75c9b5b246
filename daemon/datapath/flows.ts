/**
 * The connections that the kernel tracks in the network namespace of the process, over ctnetlink: it reads every entry,
 * asks whether the entry disagrees, and deletes those by their tuple.
 *
 * It must never ask the kernel to delete by a filter: a kernel before 5.8 does not know CTA_FILTER and would delete
 * every connection of the node. Nor does it ask for a filtered dump, although with one port that halves the processor
 * time: the kernel then walks its whole table in one go with softirqs off, once a port and family (measured: 8 ms empty,
 * 20 ms with 30,000 entries, 40 ms with 100,000), and neither a packet nor this process gets that CPU meanwhile.
 * Unfiltered it stops after every 32 KiB (0.2 ms), and 100,000 entries take as long for any number of ports.
 */
import { BerthError } from '../core/errors.ts';
import type { Flow } from '../core/flow.ts';
import { isErrno, SystemError } from '../native/errno.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../native/netlink.ts';
import type { FlowPorts, Flows } from '../reconcile/ports.ts';
import { CT_DELETE, CT_GET, deletionOf, everyEntry, portKeys, readFlow } from './conntrack.ts';

/** Deletions a datagram: about 0.2 ms of work for the kernel. */
const DELETIONS = 100;
const ENOENT = 2;

export class ConntrackFlows implements Flows {
  /** Rejects with NETLINK_FAILED; what was deleted until then stays deleted. */
  async purge(ports: readonly FlowPorts[] | 'all', disagrees: (flow: Flow) => boolean): Promise<number> {
    if (ports.length === 0) return 0;
    try {
      await using socket = NetlinkSocket.open(NETLINK_NETFILTER);
      return await erase(socket, await collect(socket, ports === 'all' ? ports : portKeys(ports), disagrees));
    } catch (error) {
      throw explained(error);
    }
  }
}

/** The entries that disagree. One made during the dump was made under the present rules, so none is missed. */
async function collect(
  socket: NetlinkSocket,
  keys: ReadonlySet<number> | 'all',
  disagrees: (flow: Flow) => boolean,
): Promise<readonly Buffer[]> {
  const entries: Buffer[] = [];
  await socket.scan(CT_GET, everyEntry(), ({ body }) => {
    const flow = readFlow(body, keys);
    if (flow !== undefined && disagrees(flow)) entries.push(Buffer.from(body));
  });
  return entries;
}

/** How many were deleted: an entry that ended by itself meanwhile (ENOENT) does not count and is no failure. */
async function erase(socket: NetlinkSocket, entries: readonly Buffer[]): Promise<number> {
  let deleted = 0;
  let refusal = 0;
  for (let index = 0; index < entries.length; index += DELETIONS) {
    const batch = entries.slice(index, index + DELETIONS);
    const commands = batch.map((body) => ({ type: CT_DELETE, flags: 0, body: deletionOf(body) }));
    for (const errno of await socket.batch(commands)) {
      if (errno === 0) deleted++;
      else if (errno !== ENOENT) refusal = errno;
    }
  }
  if (refusal !== 0) throw new SystemError('NETLINK_FAILED', 'deleting a connection', refusal);
  return deleted;
}

function explained(error: unknown): unknown {
  if (isErrno(error, 'EPERM', 'EACCES')) {
    const message = `connections cannot be read: ${error.message}; give the agent the capability NET_ADMIN`;
    return new BerthError('NETLINK_FAILED', message, { cause: error });
  }
  // A subsystem of nfnetlink that is not loaded answers EINVAL.
  if (isErrno(error, 'EINVAL', 'EOPNOTSUPP', 'EPROTONOSUPPORT')) {
    const remedy = 'load the kernel module nf_conntrack_netlink (modprobe nf_conntrack_netlink)';
    const message = `connections cannot be read: ${error.message}; ${remedy}`;
    return new BerthError('NETLINK_FAILED', message, { cause: error });
  }
  return error;
}
