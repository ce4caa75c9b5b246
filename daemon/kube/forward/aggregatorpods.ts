/** The pods of the aggregator that can be asked now, in turn. */
import type { V1Pod } from '@kubernetes/client-node';
import { BerthError, messageOf } from '../../core/errors.ts';
import { quoted } from '../../core/text.ts';
import type { ApiServer } from './apiserver.ts';

const SELECTOR = 'app.kubernetes.io/name=berth,app.kubernetes.io/component=aggregator';

/** How many connections to a pod have failed. */
export type Failures = ReadonlyMap<string, number>;

/**
 * The pod for each connection: of the ready ones with the fewest failures the next one each time. gRPC connects again by itself, so that
 * turns alone could lead a client to the same dead pod twice. Rejects with RPC_FAILED when there is none, with API_REFUSED when they may not be
 * listed, and with API_UNREACHABLE when nobody could say.
 */
export function aggregatorPods(
  api: Pick<ApiServer, 'listPods'>,
  namespace: string,
): (failures: Failures) => Promise<string> {
  let times = 0;
  return async (failures) => {
    const items = await api.listPods(namespace, SELECTOR).catch((error: unknown) => {
      const what = `the pods of the aggregator in namespace ${quoted(namespace)} cannot be listed: ${messageOf(error)}`;
      if (!(error instanceof BerthError) || error.code !== 'API_REFUSED')
        throw new BerthError('API_UNREACHABLE', what, { cause: error });
      const remedy = 'the user needs the right to list pods there, or another one is given with --aggregator-namespace';
      throw new BerthError('API_REFUSED', `${what}; ${remedy}`, { cause: error });
    });
    const ready = items.filter(isReady).map(({ metadata }) => metadata?.name ?? '');
    const failed = (pod: string) => failures.get(pod) ?? 0;
    if (ready.length === 0) {
      const count = items.length === 0 ? 'there is none' : `none of ${items.length} is ready`;
      const where = `in namespace ${quoted(namespace)} with the labels ${SELECTOR}`;
      throw new BerthError('RPC_FAILED', `no pod of the aggregator can be asked: ${count} ${where}`);
    }
    const fewest = Math.min(...ready.map(failed));
    const best = ready.filter((pod) => failed(pod) === fewest).toSorted();
    times += 1;
    return best[(times - 1) % best.length] as string;
  };
}

function isReady({ metadata, status }: V1Pod): boolean {
  const ready = status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True');
  return ready === true && metadata?.deletionTimestamp === undefined;
}
