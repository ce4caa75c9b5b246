/** The tie of most runs: doubles of the source and of the publisher, with the faults of both. */
import { BerthError } from '../../daemon/core/errors.ts';
import { PublisherDouble } from '../../daemon/kube/publisher.double.ts';
import type { PodSource, Publisher } from '../../daemon/reconcile/ports.ts';
import type { AgentLife } from './agentlife.ts';
import { asking, askingList } from './answers.ts';
import type { Link } from './link.ts';
import { PodFeed } from './podfeed.ts';
import type { QuickShelf } from './shelf.ts';
import { reached } from './stage.ts';
import type { View } from './view.ts';

export class QuickLink implements Link {
  readonly source: PodSource;
  readonly publisher: Publisher;
  readonly #feed: PodFeed;
  readonly #shelf: QuickShelf;
  readonly #double = new PublisherDouble();

  constructor(life: AgentLife, shelf: QuickShelf) {
    this.#shelf = shelf;
    this.#feed = new PodFeed(life.stage, shelf.source, () => life.alive);
    for (const [uid, result] of shelf.results) this.#double.results.set(uid, result);
    this.#double.onWrite = (pod, result) => shelf.write(pod, result);
    this.source = sourceOf(life, this.#feed, shelf);
    this.publisher = publisherOf(life, this.#double);
  }

  get view(): View {
    return this.#feed.view;
  }

  get unfinished(): number {
    return this.#double.pending.length;
  }

  silence(ms: number): void {
    this.#feed.silence(ms);
  }

  mend(): number {
    this.#feed.refresh();
    return 0;
  }

  /** What stands on the pod is what the publisher compares with. */
  forged(uid: string): void {
    const result = this.#shelf.resultOf(uid);
    if (result !== undefined) this.#double.results.set(uid, result);
  }

  async flush(): Promise<void> {}

  close(): void {}
}

function sourceOf(life: AgentLife, feed: PodFeed, { source }: QuickShelf): PodSource {
  const { stage } = life;
  const { random } = stage;
  const delayed = <T>(operation: 'source.get' | 'source.list', detail: string, effect: () => Promise<T>) => {
    const fault = feed.getFault();
    if (fault === 'error') reached(stage, 'get error');
    if (fault === 'slow') reached(stage, 'get slow');
    const before = fault === 'slow' ? random.between(5_000, 40_000) : random.between(1, 30);
    return life.call(operation, detail, before, random.between(0, 30), async () => {
      if (fault === 'error') throw new BerthError('PODS_UNREADABLE', 'the API server does not answer');
      return effect();
    });
  };
  return {
    watch: (observer, signal) => feed.watch(observer, AbortSignal.any([signal, life.end])),
    get: async (namespace, name) => {
      const answered = asking(stage, feed.view, namespace, name);
      const pod = await delayed('source.get', `${namespace}/${name}`, () => source.get(namespace, name));
      answered(pod);
      return pod;
    },
    list: async () => {
      const answered = askingList(stage, feed.view);
      const pods = await delayed('source.list', '', () => source.list());
      answered(pods);
      return pods;
    },
  };
}

function publisherOf(life: AgentLife, publisher: PublisherDouble): Publisher {
  const { stage } = life;
  const { random, time, weather } = stage;
  let retrying = false;
  const retry = () => {
    retrying = false;
    publisher.retry();
  };
  publisher.fault = () => {
    if (time.now < weather.writesLostUntil || (weather.rough && random.chance(0.02))) {
      const lost = random.chance(0.5);
      reached(stage, lost ? 'result write lost' : 'reply to a result write lost');
      if (!retrying) life.after(random.between(500, 5_000), retry);
      retrying = true;
      return lost ? 'lost' : 'replyLost';
    }
    life.after(random.between(0.5, 30), () => publisher.land());
    return 'delayed';
  };
  return publisher;
}
