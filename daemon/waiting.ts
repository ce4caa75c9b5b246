/** `berth wait pod/NAME`, and that of kubectl: asks until the ports of a pod are live, wherever it is. */
import { BerthError, messageOf } from './core/errors.ts';
import { printable, quoted } from './core/text.ts';
import { linesOf } from './ops/wait/lines.ts';
import type { WaitOptions } from './ops/wait/options.ts';
import type { Clock } from './reconcile/ports.ts';
import type { BerthClient } from './rpc/berthclient.ts';
import { liveMappings } from './rpc/livepod.ts';
import { addressesOf, portRange } from './rpc/reachable.ts';
import type { MappingView } from './rpc/views.ts';

/** Resolves to the lines. Rejects with NUMBERS_MISSING when the ports are not live in time, or the signal aborts. */
export async function waitForPod(
  connect: () => BerthClient,
  { namespace, pod }: { readonly namespace: string; readonly pod: string },
  { port: ports, timeout }: Pick<WaitOptions, 'port' | 'timeout'>,
  clock: Pick<Clock, 'after'>,
  signal: AbortSignal,
): Promise<string> {
  const late = new AbortController();
  const cancel = clock.after(timeout, () => late.abort());
  let lost: unknown;
  try {
    using client = connect();
    const either = AbortSignal.any([signal, late.signal]);
    const found = await liveMappings(client, { namespace, pod, ports }, either, (error) => {
      lost = error;
    });
    if (found !== undefined) return linesOf(found.flatMap(entriesOf));
  } finally {
    cancel();
  }
  const what = ports === undefined ? 'no port' : `not every one of the ports ${ports.join(', ')}`;
  const why = lost === undefined ? '' : `; nobody answered at times: ${messageOf(lost)}`;
  const remedy = "the pod's condition berth.dev/PortsMapped says why (kubectl describe pod)";
  throw new BerthError(
    'NUMBERS_MISSING',
    `${what} of pod ${quoted(pod)} in namespace ${quoted(namespace)} is live after ${timeout / 1_000} s: ${remedy}${why}`,
  );
}

/** What a server answers may hold anything, and a shell may source this. */
function entriesOf(mapping: MappingView): readonly (readonly [string, string, string])[] {
  const { name, hostPort, endPort, nodeAddresses } = mapping;
  const [address = ''] = nodeAddresses.length === 0 ? [] : addressesOf(mapping);
  if (!/^[a-z0-9-]+$/.test(name) || !/^[0-9A-Za-z.:[\]-]*$/.test(address)) {
    const what = `${printable(name, 64)}=${printable(address, 300)}`;
    throw new BerthError('RPC_FAILED', `the answer holds ${what}, which no port and no address is like`);
  }
  const port = ['PORT', name, portRange(hostPort, endPort)] as const;
  return address === '' ? [port] : [port, ['ADDRESS', name, address]];
}
