/** Finds the credentials: a kubeconfig that was named, those of the pod, or the user's kubeconfig, in this order. */
import type { Clock } from '../../reconcile/ports.ts';
import type { Credentials } from './credentials.ts';
import { InClusterCredentials, inClusterServer, SERVICE_ACCOUNT } from './incluster.ts';

/** Rejects with CONFIG_INVALID. */
export async function findCredentials(
  kubeconfig: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
  clock: Clock,
): Promise<Credentials> {
  const server = inClusterServer(env);
  if (kubeconfig === undefined && server !== undefined) return new InClusterCredentials(server, SERVICE_ACCOUNT, clock);
  const { loadKubeconfig } = await import('./kubeconfig.ts');
  return loadKubeconfig(kubeconfig);
}
