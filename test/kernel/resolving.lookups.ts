/**
 * Asks for the addresses of a name again and again, as a process of its own:
 *
 *     resolving.lookups.ts NAME COUNT AT-ONCE [impatient]      prints how that went, as JSON
 *
 * Whoever is impatient asks name servers without the help of glibc.
 */
import { systemClock } from '../../daemon/ops/clock.ts';
import { ReplicaNames } from '../../daemon/rpc/replicas.ts';

/** On which there is no time. */
const AT_ONCE = {
  after: (_ms: number, call: () => void) => {
    call();
    return () => {};
  },
};
const [name = '', count = '0', atOnce = '1', impatient] = process.argv.slice(2);
const clock = impatient === undefined ? systemClock : AT_ONCE;
let [left, found, failed] = [Number(count), 0, 0];
const addresses = new Set<string>();

async function ask(): Promise<void> {
  const names = new ReplicaNames(clock);
  while (left > 0) {
    left -= 1;
    try {
      for (const address of await names.resolve(name)) addresses.add(address);
      found += 1;
    } catch {
      failed += 1;
    }
  }
}

await Promise.all(Array.from({ length: Number(atOnce) }, ask));
process.stdout.write(JSON.stringify({ found, failed, addresses: [...addresses] }));
