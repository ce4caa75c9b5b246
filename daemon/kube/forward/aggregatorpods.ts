/** The pods of the aggregator that can be asked now, in turn. */
import type { CoreV1Api, V1Pod } from '@kubernetes/client-node';
import { BerthError, messageOf } from '../../core/errors.ts';
import { quoted } from '../../core/text.ts';

const SELECTOR = 'app.kubernetes.io/name=berth,app.kubernetes.io/component=aggregator';

/** How many connections to a pod have failed. */
export type Failures = ReadonlyMap<string, number>;

/**
 * The pod for each connection: of the ready ones with the fewest failures the next one each time. gRPC connects again by itself, so that
 * turns alone could lead a client to the same dead pod twice. Rejects with API_REFUSED when there is none.
 */
export function aggregatorPods(
  api: Pick<CoreV1Api, 'listNamespacedPod'>,
  namespace: string,
): (failures: Failures) => Promise<string> {
  let times = 0;
  return async (failures) => {
    const { items } = await api.listNamespacedPod({ namespace, labelSelector: SELECTOR }).catch((error: unknown) => {
      const remedy = 'the user needs the right to list pods there, or another one is given with --aggregator-namespace';
      const message = `the pods of the aggregator in namespace ${quoted(namespace)} cannot be listed: ${brief(error)}; ${remedy}`;
      throw new BerthError('API_REFUSED', message, { cause: error });
    });
    const ready = items.filter(isReady).map(({ metadata }) => metadata?.name ?? '');
    const failed = (pod: string) => failures.get(pod) ?? 0;
    if (ready.length === 0) {
      const count = items.length === 0 ? 'there is none' : `none of ${items.length} is ready`;
      const where = `in namespace ${quoted(namespace)} with the labels ${SELECTOR}`;
      throw new BerthError('API_REFUSED', `no pod of the aggregator can be asked: ${count} ${where}`);
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

/** The library's messages hold the whole answer with its headers. */
function brief(error: unknown): string {
  const { code, body } = error as { readonly code?: unknown; readonly body?: unknown };
  if (typeof body === 'string') {
    try {
      const { message } = JSON.parse(body) as { readonly message?: unknown };
      if (typeof message === 'string') return message;
    } catch {
      return `HTTP ${String(code)}`;
    }
  }
  const [first = ''] = messageOf((error as { readonly cause?: unknown }).cause ?? error).split('\n');
  return first;
}
