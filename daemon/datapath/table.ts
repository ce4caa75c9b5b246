/**
 * The table `inet berth` of this network namespace as the `Datapath` of the reconcile loop: keeps its skeleton standing, reads and
 * changes its elements, and tells when somebody else changed the ruleset. Never touches another table.
 */
import { type Element, type ElementChange, elementId } from '../../rules/element.ts';
import { RECREATION, redeclaration, SKELETON } from '../../rules/skeleton.ts';
import { BerthError } from '../core/errors.ts';
import { isErrno } from '../native/errno.ts';
import { NETLINK_NETFILTER, NetlinkSocket } from '../native/netlink.ts';
import type { Datapath, Installed } from '../reconcile/ports.ts';
import { readElements } from './dump.ts';
import { ForeignChanges } from './foreignchanges.ts';
import type { Nft } from './nft.ts';
import { deviation, differences, objectsOf, readTableState, type TableState } from './tablestate.ts';
import { type Transport, translated } from './transport.ts';

/** A read begins anew so often when the ruleset changes meanwhile. */
const READ_ATTEMPTS = 10;

export interface TableOptions {
  /** Loads the skeleton. */
  readonly nft: Pick<Nft, 'run'>;
  /** Carries changes of elements into the kernel. */
  readonly transport: Transport;
  /** Foreign commits within so long are reported as one, ms. */
  readonly gatherMs?: number;
}

export class Table implements Datapath, AsyncDisposable {
  readonly #nft: Pick<Nft, 'run'>;
  readonly #transport: Transport;
  readonly #foreign: ForeignChanges;
  #socket = NetlinkSocket.open(NETLINK_NETFILTER);
  /** The table as it was right after this process loaded the skeleton. */
  #loaded: TableState | undefined;
  #last: Promise<unknown> = Promise.resolve();
  /** What was read last: as long as the ruleset has that generation it is what stands (at a start it is asked for twice). */
  #standing: { readonly generation: number; readonly elements: readonly Element[] } | undefined;

  /** Belongs to the network namespace that the thread is in. Throws NFT_UNAVAILABLE. */
  constructor(options: TableOptions) {
    this.#nft = options.nft;
    this.#transport = options.transport;
    using opened = new DisposableStack();
    opened.use(this.#socket);
    try {
      this.#foreign = opened.use(new ForeignChanges(options.gatherMs ?? 20));
      this.#requirePermission();
    } catch (error) {
      throw translated(error);
    }
    opened.move();
  }

  /** What may not be asked now never may be: a process gets no capability later. Everything else may heal. */
  #requirePermission(): void {
    try {
      this.#foreign.generation();
    } catch (error) {
      if (isErrno(error, 'EPERM')) throw error;
    }
  }

  read(): Promise<Installed> {
    return this.#alone(() => this.#read());
  }

  apply(change: ElementChange): Promise<void> {
    if (change.add.length === 0 && change.remove.length === 0) return Promise.resolve();
    this.#standing = undefined;
    return this.#alone(() => this.#foreign.commit((generation) => this.#transport.commit(change, generation)));
  }

  watch(onForeignChange: () => void, signal: AbortSignal): void {
    this.#foreign.watch(onForeignChange, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#last;
    this.#foreign[Symbol.dispose]();
    await this.#socket[Symbol.asyncDispose]();
  }

  /** One operation at a time: netlink sockets carry one exchange, and own commits are told from foreign ones by counting. */
  #alone<T>(operation: () => Promise<T>): Promise<T> {
    const result = this.#last
      .then(() => this.#foreign.withoutLooking(operation))
      .catch((error: unknown) => {
        throw translated(error);
      });
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #read(): Promise<Installed> {
    const standing = this.#standing;
    if (standing?.generation === this.#foreign.generation()) {
      this.#foreign.seen(standing.generation);
      return { elements: standing.elements, repaired: '' };
    }
    const repairs: string[] = [];
    let before: readonly Element[] | undefined;
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt++) {
      const generation = this.#foreign.generation();
      const repair = await this.#repair(attempt > READ_ATTEMPTS / 2).catch(unsettled);
      if (repair !== undefined) {
        repairs.push(repair);
        continue;
      }
      const elements = await this.#elements();
      if (elements === undefined) continue;
      // On a node whose ruleset never rests: two equal readings are one consistent reading.
      const settled = this.#foreign.generation() === generation;
      if (settled || isEqual(before, elements)) {
        this.#foreign.seen(generation);
        this.#standing = settled ? { generation, elements } : undefined;
        return { elements, repaired: [...new Set(repairs)].filter((repair) => repair !== '').join('; ') };
      }
      before = elements;
    }
    const last = repairs.at(-1) ?? '';
    throw new BerthError('NFT_REFUSED', `the ruleset changed during all ${READ_ATTEMPTS} attempts to read it: ${last}`);
  }

  async #elements(): Promise<Element[] | undefined> {
    try {
      return await readElements(this.#socket);
    } catch (error) {
      await this.#socket[Symbol.asyncDispose]();
      this.#socket = NetlinkSocket.open(NETLINK_NETFILTER);
      // A set, or the table, was deleted a moment ago: the next attempt puts that right.
      if (isErrno(error, 'ENOENT')) return undefined;
      throw error;
    }
  }

  /**
   * Undefined when the skeleton stands as this process loaded it. Otherwise loads it, keeping all elements if that is
   * possible at all, and says what had been wrong; that is nothing when this process loads it for the first time.
   * Normally a load is relied on only when nobody else made a commit near it; `lenient`: also then, if nothing is seen wrong.
   */
  async #repair(lenient: boolean): Promise<string | undefined> {
    const state = readTableState(this.#socket);
    const wrong = this.#loaded === undefined ? '' : differences(this.#loaded, state);
    if (this.#loaded !== undefined && wrong === '') return undefined;
    this.#loaded = undefined;
    const generation = this.#foreign.generation();
    const lost = await this.#load(state);
    const loaded = readTableState(this.#socket);
    const fault = loaded === undefined ? 'the table was deleted again' : deviation(loaded);
    const alone = (this.#foreign.generation() - generation) >>> 0 === 1;
    if (fault === '' && (alone || lenient)) this.#loaded = loaded;
    return [wrong, lost, fault].filter((part) => part !== '').join('; ');
  }

  /** Resolves to why the elements were not kept, empty when they were. */
  async #load(state: TableState | undefined): Promise<string> {
    if (state === undefined) {
      await this.#nft.run('text', SKELETON);
      return '';
    }
    const text = redeclaration(objectsOf(state));
    let reason = 'it held a name that nft cannot write';
    if (text !== undefined) {
      try {
        await this.#nft.run('text', text);
        return '';
      } catch (error) {
        if (!(error instanceof BerthError && error.code === 'NFT_REFUSED')) throw error;
        reason = error.message;
      }
    }
    await this.#nft.run('text', RECREATION);
    return `the table was made anew: ${reason}`;
  }
}

/** Somebody committed during each of the socket's own attempts: nothing was put right, the next attempt may see more. */
function unsettled(error: unknown): string {
  if (isErrno(error, 'EINTR')) return '';
  throw error;
}

function isEqual(one: readonly Element[] | undefined, other: readonly Element[]): boolean {
  if (one?.length !== other.length) return false;
  const texts = new Map(one.map((element) => [elementId(element), textOf(element)]));
  return other.every((element) => texts.get(elementId(element)) === textOf(element));
}

function textOf({ value, comment }: Element): string {
  return `${value}\n${comment}`;
}
