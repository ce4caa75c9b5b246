/**
 * Asks for the addresses of a name again and again, as a process of its own:
 *
 *     resolving.lookups.ts NAME COUNT      64 times at once, COUNT times in all; prints how that went, as JSON
 */
import { replicasOf } from '../../daemon/rpc/replicas.ts';

const [name = '', count = '0'] = process.argv.slice(2);
let [left, found, failed] = [Number(count), 0, 0];
const addresses = new Set<string>();

async function ask(): Promise<void> {
  while (left > 0) {
    left -= 1;
    try {
      for (const address of await replicasOf(name)) addresses.add(address);
      found += 1;
    } catch {
      failed += 1;
    }
  }
}

await Promise.all(Array.from({ length: 64 }, ask));
process.stdout.write(JSON.stringify({ found, failed, addresses: [...addresses] }));
