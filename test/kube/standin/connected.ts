/** A client of the stand-in, with a token that stays as it is. */
import { ApiClient } from '../../../daemon/kube/api/client.ts';
import type { Credentials } from '../../../daemon/kube/api/credentials.ts';
import type { Clock } from '../../../daemon/reconcile/ports.ts';

export function clientOf(server: string, clock: Clock): ApiClient {
  const credentials: Credentials = {
    server,
    grant: async () => ({ headers: { authorization: 'Bearer of-tests' }, tls: {} }),
    rejected: () => {},
  };
  return new ApiClient({ credentials, clock, userAgent: 'berth-test' });
}
