/**
 * Tells every replica of the aggregator what is live on this node. It follows the replicas as their name resolves: each address has a
 * stream of its own. A name server that says nothing, or nonsense, takes no stream away that stands. It never blocks or fails the
 * agent: what cannot be told is told later.
 */
import { BerthError } from '../core/errors.ts';
import type { MappingRegistry } from '../core/registry.ts';
import { ChangeFeed } from './feed.ts';
import { type LinkContext, ReportLink } from './reportlink.ts';

/** Where replicas are: an IP address is one of them, a name stands for every address that it resolves to. */
export interface ReportTarget {
  readonly host: string;
  readonly port: number;
  /** It is an IP address. */
  readonly literal: boolean;
}

export interface ReporterOptions extends Omit<LinkContext, 'feed'> {
  readonly registry: MappingRegistry;
  readonly targets: readonly ReportTarget[];
  /** Every IP address of the name. Rejects when that cannot be known. */
  readonly resolve: (host: string) => Promise<readonly string[]>;
}

/** Changes made together are told together; a lone one is told at once. */
const BATCH_MS = 50;
const RESOLVE_MS = 30_000;
const FIRST_RESOLVE_MS = 1_000;
/** A replica that was lost may have gone to another address; all agents lose it together and must not ask together. */
const LOST_RESOLVE_MS = 3_000;
/** Sooner than any other time. */
const BEING_RESOLVED = Number.NEGATIVE_INFINITY;
/** Of one name: more replicas than anybody runs. */
const MAX_ADDRESSES = 64;

export class Reporter implements Disposable {
  readonly #options: ReporterOptions;
  readonly #context: LinkContext;
  readonly #links = new Map<string, ReportLink>();
  /** What each name was resolved to last. */
  readonly #resolved = new Map<ReportTarget, readonly string[]>();
  readonly #timers = new Map<ReportTarget, { readonly due: number; readonly cancel: () => void }>();
  #ended = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
    const { observer, registry, clock } = options;
    this.#context = {
      ...options,
      feed: new ChangeFeed(registry, clock, BATCH_MS),
      observer: {
        ...observer,
        lost: (...ending) => {
          observer.lost(...ending);
          this.#follow();
          this.#resolveSoon(ending[0]);
        },
      },
    };
  }

  get links(): number {
    return this.#links.size;
  }

  get connected(): number {
    return [...this.#links.values()].filter(({ connected }) => connected).length;
  }

  /** Call once the registry holds what the kernel holds: an empty one would take every mapping of the node away. */
  start(): void {
    for (const target of this.#options.targets) {
      if (!target.literal) void this.#resolve(target, 0);
      else this.#resolved.set(target, [addressOf(target.host, target.port)]);
    }
    this.#follow();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    for (const { cancel } of this.#timers.values()) cancel();
    for (const link of this.#links.values()) link[Symbol.dispose]();
    this.#links.clear();
    this.#context.feed[Symbol.dispose]();
  }

  async #resolve(target: ReportTarget, failures: number): Promise<void> {
    const { resolve, observer, clock, random } = this.#options;
    const fails = (error: unknown) => {
      if (!this.#ended) observer.unresolved(target.host, error);
    };
    // The resolver asks several servers for several names, each some times; it is waited for, as a second question would wait behind the first.
    const late = () => fails(new BerthError('RPC_FAILED', 'the name server does not answer'));
    this.#timers.set(target, { due: BEING_RESOLVED, cancel: clock.after(RESOLVE_MS, late) });
    let failed = 0;
    try {
      const found = await resolve(target.host);
      this.#resolved.set(target, addressesOf(found, target.port, this.#resolved.get(target)));
      observer.resolved(target.host);
    } catch (error) {
      failed = failures + 1;
      fails(error);
    }
    this.#timers.get(target)?.cancel();
    if (this.#ended) return;
    this.#follow();
    const pause = failed === 0 ? RESOLVE_MS : Math.min(RESOLVE_MS, FIRST_RESOLVE_MS * 2 ** failed);
    this.#schedule(target, pause * (0.5 + random() / 2), failed);
  }

  #schedule(target: ReportTarget, ms: number, failures: number): void {
    const { clock } = this.#options;
    this.#timers.get(target)?.cancel();
    const cancel = clock.after(ms, () => {
      this.#timers.delete(target);
      void this.#resolve(target, failures);
    });
    this.#timers.set(target, { due: clock.monotonic() + ms, cancel });
  }

  /** The name that the address is of, unless it is being resolved. */
  #resolveSoon(address: string): void {
    const { clock, random } = this.#options;
    for (const [target, addresses] of this.#resolved) {
      const timer = this.#timers.get(target);
      if (timer === undefined || !addresses.includes(address)) continue;
      // However many are lost at once: the name of 64 addresses that lead nowhere is not asked for all the time.
      if (timer.due - clock.monotonic() > LOST_RESOLVE_MS) this.#schedule(target, LOST_RESOLVE_MS * random(), 0);
    }
  }

  /**
   * A stream for each address. One that is an address no more keeps its stream for as long as that stands: a replica that is gone ends it,
   * and one of which a name server knows nothing is still there. Of too many such the oldest stay: whoever answers for the name server
   * may answer for replicas too.
   */
  #follow(): void {
    if (this.#ended) return;
    const wanted = new Set([...this.#resolved.values()].flat());
    let kept = 0;
    for (const [address, { connected }] of this.#links) {
      if (wanted.has(address)) continue;
      if (connected) kept += 1;
      if (!connected || kept > MAX_ADDRESSES) this.#drop(address);
    }
    for (const address of wanted) {
      if (this.#links.has(address)) continue;
      const link = new ReportLink(address, this.#context);
      this.#links.set(address, link);
      link.start();
    }
  }

  #drop(address: string): void {
    this.#links.get(address)?.[Symbol.dispose]();
    this.#links.delete(address);
    this.#options.observer.dropped(address);
  }
}

function addressesOf(found: readonly string[], port: number, before: readonly string[] | undefined): readonly string[] {
  const addresses = oneFamily(found, before).slice(0, MAX_ADDRESSES);
  return addresses.map((address) => addressOf(address, port));
}

/**
 * A replica with two families is resolved twice, and its second stream would take the place of the first, for ever: only one family
 * is used, the one in use as long as there are addresses of it.
 */
function oneFamily(addresses: readonly string[], before: readonly string[] | undefined): readonly string[] {
  const ofFamily = (six: boolean) => addresses.filter((address) => address.includes(':') === six);
  const six = before?.[0]?.startsWith('[') ?? addresses[0]?.includes(':') ?? false;
  const same = ofFamily(six);
  return [...new Set(same.length > 0 ? same : ofFamily(!six))].sort();
}

function addressOf(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
