/**
 * The addresses behind the names of aggregators. They are looked up as every program of this host looks names up, and, while that takes
 * too long, asked for at the name servers: glibc waits for ever for a server that takes a question over TCP and says nothing. A name
 * server may say anything: what no replica can have is left out.
 */
import { lookup, Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';
import { classifyAddress, parseAddress } from '../core/address.ts';
import { BerthError } from '../core/errors.ts';
import { quoted } from '../core/text.ts';
import type { Clock } from '../reconcile/ports.ts';
import { namesOf } from './searchlist.ts';

/** As long as glibc takes for three servers that are silent, by default. */
const PATIENCE_MS = 30_000;
const RESOLV_CONF = '/etc/resolv.conf';
/** For one server and one name. */
const ASKING = { timeout: 2_000, tries: 2 } as const;

export class ReplicaNames {
  readonly #clock: Pick<Clock, 'after'>;
  /** Ends when the lookup that is under way does. Only one is: Node has threads for two, and others need them too. */
  #looking: Promise<unknown> | undefined;

  constructor(clock: Pick<Clock, 'after'>) {
    this.#clock = clock;
  }

  /** Rejects as the resolver does, and with RPC_FAILED when there is an answer of which nothing can be used. */
  async resolve(host: string): Promise<readonly string[]> {
    const found = (await this.#look(host)) ?? (await ask(host));
    const usable = found.filter(isReachable);
    if (usable.length > 0) return usable;
    const why = `${quoted(host)} stands for ${found.length} addresses, and no server can have one of them`;
    throw new BerthError('RPC_FAILED', why);
  }

  /** Undefined: it takes too long. */
  async #look(host: string): Promise<readonly string[] | undefined> {
    const late = Promise.withResolvers<undefined>();
    const cancel = this.#clock.after(PATIENCE_MS, () => late.resolve(undefined));
    let patient = true;
    const turn = async () => {
      while (patient && this.#looking !== undefined) await this.#looking;
      if (!patient) return undefined;
      const looking = lookup(host, { all: true, order: 'verbatim' });
      this.#looking = looking.then(
        () => {},
        () => {},
      );
      void this.#looking.finally(() => {
        this.#looking = undefined;
      });
      return (await looking).map(({ address }) => address);
    };
    try {
      return await Promise.race([turn(), late.promise]);
    } finally {
      patient = false;
      cancel();
    }
  }
}

async function ask(host: string): Promise<readonly string[]> {
  const resolver = new Resolver(ASKING);
  let failure: unknown;
  for (const name of namesOf(host, await readFile(RESOLV_CONF, 'utf8'))) {
    const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const found = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
    if (found.length > 0) return found;
    failure ??= answers.find(({ status }) => status === 'rejected');
  }
  throw (failure as PromiseRejectedResult).reason;
}

/** One server can be told by it. A replica may well run beside the agent. */
function isReachable(text: string): boolean {
  const address = parseAddress(text);
  if (address === undefined) return false;
  const scope = classifyAddress(address);
  return scope === 'ordinary' || scope === 'loopback';
}
