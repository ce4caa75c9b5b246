/**
 * Adapters of `berth uninstall` that are opened by the first step that needs them: what keeps one from being opened, such as
 * credentials that are missing, is in the way of that step alone.
 */
import { NodeNetwork } from './datapath/network.ts';
import type { UninstallOptions } from './ops/uninstall/options.ts';
import { openAnnouncements } from './podadapters.ts';
import type { AnnouncedPod, Announcements, LoopbackSwitches } from './reconcile/uninstall/ports.ts';

/** The node's network. */
export class LazyNetwork implements LoopbackSwitches, Disposable {
  readonly #options: Pick<UninstallOptions, 'hostAddresses'>;
  #network: NodeNetwork | undefined;

  constructor(options: Pick<UninstallOptions, 'hostAddresses'>) {
    this.#options = options;
  }

  loopbackOpen(device: string): boolean | undefined {
    return this.#opened().loopbackOpen(device);
  }

  closeLoopback(device: string): void {
    this.#opened().closeLoopback(device);
  }

  /** As things are now. Throws NETLINK_FAILED. */
  isNodeAddress(): (address: string) => boolean {
    const own = new Set(
      this.#opened()
        .addresses()
        .map(({ address }) => address),
    );
    return (address) => own.has(address) || address.startsWith('127.');
  }

  #opened(): NodeNetwork {
    this.#network ??= new NodeNetwork({ hostAddresses: this.#options.hostAddresses });
    return this.#network;
  }

  [Symbol.dispose](): void {
    this.#network?.[Symbol.dispose]();
  }
}

/** What the pods were told. */
export class LazyAnnouncements implements Announcements {
  readonly #open: () => ReturnType<typeof openAnnouncements>;
  #opened: ReturnType<typeof openAnnouncements> | undefined;

  constructor(options: UninstallOptions, signal: AbortSignal) {
    this.#open = () => openAnnouncements(options, signal);
  }

  async find(granted: ReadonlySet<string>) {
    this.#opened ??= this.#open();
    return (await this.#opened).announcements.find(granted);
  }

  async withdraw(pods: readonly AnnouncedPod[]) {
    this.#opened ??= this.#open();
    return (await this.#opened).announcements.withdraw(pods);
  }

  async close(): Promise<void> {
    const opened = await this.#opened?.catch(() => undefined);
    await opened?.close();
  }
}
