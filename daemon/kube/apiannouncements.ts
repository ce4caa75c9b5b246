/**
 * What Berth told the pods of a node by the API server, and how it is taken back: by the agent's publisher, so with the pod's uid
 * in every patch and no more than 10 writes a second.
 */
import { parseAddress } from '../core/address.ts';
import type { Pod } from '../core/vocabulary.ts';
import { isAnnounced, withdrawal } from '../core/withdrawal.ts';
import type { Clock, Random } from '../reconcile/ports.ts';
import type { AnnouncedPod, Announcements } from '../reconcile/uninstall/ports.ts';
import type { Api } from './api/client.ts';
import { pause } from './api/pause.ts';
import { ApiPublisher } from './publisher.ts';
import { Reflector } from './reflector.ts';

/** How long writing may take, in ms: two writes a pod at their rate, twice over, beside a bad moment of the API server. */
const PATIENCE = { all: 15_000, pod: 400 } as const;
const LOOK_EVERY_MS = 100;

export interface ApiAnnouncementsOptions {
  readonly client: Api;
  readonly node: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}

export class ApiAnnouncements implements Announcements {
  readonly #options: ApiAnnouncementsOptions;
  readonly #source: Reflector;
  /** As they were read last, by uid. */
  #pods: ReadonlyMap<string, Pod> = new Map();

  constructor(options: ApiAnnouncementsOptions) {
    this.#options = options;
    this.#source = new Reflector({ ...options, reconnectCapMs: 1_000 });
  }

  async find(granted: ReadonlySet<string>): Promise<readonly AnnouncedPod[]> {
    const pods = await this.#source.list();
    this.#pods = new Map(pods.map((pod) => [pod.uid, pod]));
    return pods
      .filter((pod) => isAnnounced(pod, granted))
      .map(({ namespace, name, uid, podIPs }) => ({
        ...{ namespace, name, uid },
        podIPs: podIPs.flatMap((text) => parseAddress(text)?.text ?? []),
      }));
  }

  async withdraw(pods: readonly AnnouncedPod[]): Promise<readonly string[]> {
    const { clock, signal } = this.#options;
    const failures: string[] = [];
    const publisher = new ApiPublisher({ ...this.#options, onError: ({ message }) => failures.push(message) });
    const end = clock.monotonic() + PATIENCE.all + PATIENCE.pod * pods.length;
    for (const { uid } of pods) {
      const pod = this.#pods.get(uid);
      if (pod !== undefined) publisher.publish(pod, withdrawal(pod));
    }
    while (publisher.unfinished > 0 && clock.monotonic() < end && !signal.aborted) {
      await pause(clock, LOOK_EVERY_MS, signal);
    }
    await publisher.flush();
    return failures;
  }
}
