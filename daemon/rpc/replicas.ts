/**
 * The addresses behind the name of an aggregator. A name server may say anything, or nothing. It is not asked by getaddrinfo(3): glibc
 * waits for ever for a server that takes a question over TCP and is silent, in a thread that no process can end without.
 */
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { classifyAddress, parseAddress } from '../core/address.ts';
import { BerthError } from '../core/errors.ts';
import { quoted } from '../core/text.ts';
import { addressesIn, namesOf } from './hostfiles.ts';

const [HOSTS, RESOLV_CONF] = ['/etc/hosts', '/etc/resolv.conf'];
/** For one server and one name. */
const ASKING = { timeout: 2_000, tries: 2 } as const;

/** Rejects with the reason of the first name that was asked for, and with RPC_FAILED when nothing of the answer can be used. */
export async function replicasOf(host: string): Promise<readonly string[]> {
  const written = addressesIn(await textOf(HOSTS), host);
  const found = written.length > 0 ? written : await ask(host);
  const usable = found.filter(isReachable);
  if (usable.length > 0) return usable;
  const why = `${quoted(host)} stands for ${found.length} addresses, and no server can have one of them`;
  throw new BerthError('RPC_FAILED', why);
}

async function ask(host: string): Promise<readonly string[]> {
  // It takes the name servers of this moment, and remembers no answer: what is true may be another thing soon, whatever its TTL.
  const resolver = new Resolver(ASKING);
  const failures: unknown[] = [];
  for (const name of namesOf(host, await textOf(RESOLV_CONF))) {
    const found: string[] = [];
    for (const answer of await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)])) {
      if (answer.status === 'fulfilled') found.push(...answer.value);
      else failures.push(answer.reason);
    }
    if (found.length > 0) return found;
  }
  throw failures[0];
}

/** Without the file there are no names in it, and a name server of this host is asked. */
async function textOf(path: string): Promise<string> {
  return await readFile(path, 'utf8').catch(() => '');
}

/** One server can be told by it. A replica may well run beside the agent. */
function isReachable(text: string): boolean {
  const address = parseAddress(text);
  if (address === undefined) return false;
  const scope = classifyAddress(address);
  return scope === 'ordinary' || scope === 'loopback';
}
