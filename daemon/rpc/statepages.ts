/**
 * The present state in pages, as those are sent it who begin to watch. Many begin at about the same time, when a replica was restarted:
 * a page is made once for all who come to it within seconds. Each page is as the registry was when it was made; what changed since is
 * told by who sends it. Nothing is held of a state but what was asked for lately.
 */
import { type berth, MappingService } from '../../proto/service.ts';
import type { LiveMapping, MappingFilter } from '../core/livemapping.ts';
import type { MappingRegistry } from '../core/registry.ts';
import type { Clock } from '../reconcile/ports.ts';
import { Turns } from './turns.ts';

export interface StatePage {
  /** Of a WatchResponse, its changes. What is written after them is part of the same message. */
  readonly changes: Buffer;
  /** The key of its last mapping; undefined: no more follow. */
  readonly last: string | undefined;
  /** Of the registry, when it was made. */
  readonly revision: number;
}

/** How mappings become messages at this moment. */
export interface StateFormat {
  message(live: LiveMapping): berth.v1.Mapping.$Properties;
  /** About how many bytes the message has. */
  bytes(live: LiveMapping): number;
}

export interface StatePagesOptions {
  readonly registry: MappingRegistry;
  readonly clock: Pick<Clock, 'monotonic' | 'after'>;
  readonly format: StateFormat;
}

/** Of one page: what each watcher may make its connection hold. */
const MAX_BYTES = 128 * 1024;
const PAGE = 1_000;
/** What is kept of pages; who comes later by more than that is made his own. */
const KEPT_BYTES = 16 * 1024 * 1024;
const KEPT_MS = 5_000;
/** What one costs besides its bytes. */
const ENTRY = 512;
/** How many are made in one turn of the loop: 1 ms each. */
const MADE = 1;

interface Kept {
  readonly page: Promise<StatePage>;
  readonly until: number;
  bytes: number;
}

const encode = MappingService.watch.responseSerialize;

export class StatePages implements Disposable {
  readonly #options: StatePagesOptions;
  readonly #turns: Turns;
  /** The oldest first. */
  readonly #kept = new Map<string, Kept>();
  #bytes = 0;
  #cancel: (() => void) | undefined;

  constructor(options: StatePagesOptions) {
    this.#options = options;
    this.#turns = new Turns(options.clock, MADE);
  }

  /** How much is kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The page that comes after the key. `registry` still knows what changed since it was made. */
  async page(filter: MappingFilter, after: string): Promise<StatePage> {
    const { clock, registry } = this.#options;
    const key = `${JSON.stringify(filter)} ${after}`;
    const kept = this.#kept.get(key);
    if (kept !== undefined && kept.until > clock.monotonic()) {
      const page = await kept.page;
      if (registry.isRecent(page.revision)) return page;
    }
    return await this.#begin(key, filter, after);
  }

  /** Whoever waits for a page gets it now. */
  [Symbol.dispose](): void {
    this.#turns[Symbol.dispose]();
    this.#cancel?.();
    this.#kept.clear();
    this.#bytes = 0;
  }

  #begin(key: string, filter: MappingFilter, after: string): Promise<StatePage> {
    const made = this.#turns.next().then(() => this.#make(filter, after));
    this.#drop(key);
    const kept = { page: made, until: this.#options.clock.monotonic() + KEPT_MS, bytes: ENTRY };
    this.#kept.set(key, kept);
    this.#bytes += ENTRY;
    this.#expire();
    return made.then((page) => {
      if (this.#kept.get(key) === kept) {
        kept.bytes += page.changes.length;
        this.#bytes += page.changes.length;
        for (const oldest of this.#kept.keys()) {
          if (this.#bytes <= KEPT_BYTES) break;
          this.#drop(oldest);
        }
      }
      return page;
    });
  }

  #make(filter: MappingFilter, after: string): StatePage {
    const { registry, format } = this.#options;
    let bytes = 0;
    const { items, next } = registry.page(filter, after, PAGE, (live) => {
      bytes += format.bytes(live);
      return bytes <= MAX_BYTES;
    });
    const changes = encode({ changes: items.map((live) => ({ set: format.message(live) })) });
    return { changes, last: next, revision: registry.revision };
  }

  #drop(key: string): void {
    this.#bytes -= this.#kept.get(key)?.bytes ?? 0;
    this.#kept.delete(key);
  }

  #expire(): void {
    this.#cancel ??= this.#options.clock.after(KEPT_MS, () => {
      this.#cancel = undefined;
      const now = this.#options.clock.monotonic();
      for (const [key, { until }] of this.#kept) if (until <= now) this.#drop(key);
      if (this.#kept.size > 0) this.#expire();
    });
  }
}
