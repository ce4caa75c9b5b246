/**
 * The agent with pods from a directory and claims from a file: what an API server would say of them, by `namespace/name`. It is read
 * anew for every question. Arguments as those of `berth`; CLAIMS names the file.
 */
import { readFileSync } from 'node:fs';
import { runAgent } from '../../daemon/agent.ts';
import { type ClaimStatus, claimKey } from '../../daemon/core/claim.ts';
import { readAgentOptions } from '../../daemon/ops/agentoptions.ts';
import type { World } from '../../daemon/reconcile/ports.ts';

type ClaimsFile = Readonly<Record<string, ClaimStatus>>;

const missing: ClaimStatus = { kind: 'pending', message: 'there is no such HostPortClaim' };

function wrap(world: World): World {
  return {
    ...world,
    claims: {
      get: async (namespace, claim) => {
        const claims: ClaimsFile = JSON.parse(readFileSync(process.env.CLAIMS ?? '', 'utf8'));
        return claims[claimKey(namespace, claim)] ?? missing;
      },
    },
  };
}

const command = readAgentOptions({ argv: process.argv.slice(3), env: {} }, 'node');
if (command.kind === 'run') {
  const stop = new AbortController();
  process.once('SIGTERM', () => stop.abort());
  await runAgent(command.options, stop.signal, wrap);
}
