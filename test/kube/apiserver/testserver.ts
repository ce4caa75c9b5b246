/** An API server for tests, real or not, as those see it who must not know which one it is. */
import { ApiClient } from '../../../daemon/kube/api/client.ts';
import type { Clock } from '../../../daemon/reconcile/ports.ts';
import { type Account, tokenOf } from './accounts.ts';

export interface TestServer extends AsyncDisposable {
  /** As it stands in logs. */
  readonly name: string;
  readonly url: string;
  /** What a client has to know of its certificates. */
  readonly tls: { readonly ca?: string };
  /** Ends its watches and keeps no revision of the past. */
  forget(): Promise<void>;
}

/** The agent's own client, as this account. */
export function clientAs(account: Account, { url, tls }: TestServer, clock: Clock): ApiClient {
  const headers = { authorization: `Bearer ${tokenOf(account)}` };
  const credentials = { server: url, grant: async () => ({ headers, tls }), rejected: () => {} };
  return new ApiClient({ credentials, clock, userAgent: 'berth-test' });
}
