/**
 * The credentials of a kubeconfig: files, embedded data, exec plugins and OIDC, as @kubernetes/client-node reads them. The library
 * is loaded only here, when a kubeconfig is used: it costs 85 MB of memory.
 */
import type { RequestOptions } from 'node:https';
import type { KubeConfig } from '@kubernetes/client-node';
import { quoted } from '../../core/text.ts';
import { unusableKubeconfig } from '../unusable.ts';
import type { Credentials, Grant } from './credentials.ts';

/** `path` undefined: `KUBECONFIG`, then `~/.kube/config`. Rejects with CONFIG_INVALID. */
export async function loadKubeconfig(path: string | undefined): Promise<Credentials> {
  const { KubeConfig } = await import('@kubernetes/client-node');
  try {
    const config = new KubeConfig();
    if (path === undefined) loadDefault(config);
    else config.loadFromFile(path);
    return new KubeconfigCredentials(config);
  } catch (error) {
    throw unusableKubeconfig(path, error);
  }
}

function loadDefault(config: KubeConfig): void {
  config.loadFromDefault();
  // What the library assumes when it found nothing.
  if (config.getCurrentCluster()?.server !== 'http://localhost:8080') return;
  throw new Error('there is none; give --kubeconfig, or run the agent in a pod');
}

class KubeconfigCredentials implements Credentials {
  readonly server: string;
  readonly #config: KubeConfig;

  constructor(config: KubeConfig) {
    const cluster = config.getCurrentCluster();
    if (cluster === null) {
      throw new Error(`its current context ${quoted(config.getCurrentContext() ?? '')} names no cluster`);
    }
    if (cluster.proxyUrl !== undefined) {
      throw new Error(`cluster ${quoted(cluster.name)} has a proxy-url, which the agent does not go through`);
    }
    this.server = cluster.server;
    this.#config = config;
  }

  async grant(): Promise<Grant> {
    const options: RequestOptions = {};
    await this.#config.applyToHTTPSOptions(options);
    const headers: Record<string, string> = {};
    for (const [name, value] of Object.entries(options.headers ?? {}))
      headers[name.toLowerCase()] = String(value).trim();
    const basic = options.auth;
    if (typeof basic === 'string') headers.authorization = `Basic ${Buffer.from(basic).toString('base64')}`;
    const { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername } = options;
    const material = { ca, cert, key, pfx, passphrase, rejectUnauthorized, servername };
    return {
      headers,
      tls: Object.fromEntries(Object.entries(material).filter(([, value]) => value !== undefined)) as Grant['tls'],
    };
  }

  /** Nothing to do: files are read for each request by the library, and exec plugins say how long their answer is good. */
  rejected(): void {}
}
