/**
 * The watch of one agent, with the faults that a watch has: what it tells is late, lost, repeated, in another order, or old.
 * What it told is noted in a view, by which the agent is judged.
 */
import { BerthError } from '../../daemon/core/errors.ts';
import type { Pod, PodRef } from '../../daemon/core/vocabulary.ts';
import type { PodSourceDouble } from '../../daemon/kube/source.double.ts';
import type { PodObserver } from '../../daemon/reconcile/ports.ts';
import { note, reached, type Stage } from './stage.ts';
import { View } from './view.ts';

/** How likely each fault is, for one piece of news or one list. */
const CHANCE = {
  lost: 0.02,
  twice: 0.02,
  reordered: 0.03,
  listError: 0.06,
  staleList: 0.2,
  getError: 0.06,
  slowGet: 0.03,
};
const HOUR = 3_600_000;

type News = { readonly kind: 'changed'; readonly pod: Pod } | { readonly kind: 'deleted'; readonly pod: PodRef };

export class PodFeed {
  readonly view: View;
  readonly #stage: Stage;
  readonly #source: PodSourceDouble;
  readonly #alive: () => boolean;
  #observer: PodObserver | undefined;
  /** News in the order of the watch come no earlier than this. */
  #nextAt = 0;
  /** What was on its way before a fresh connection never arrives. */
  #connection = 0;
  #relistDue = false;
  #silent = false;

  constructor(stage: Stage, source: PodSourceDouble, alive: () => boolean) {
    this.#stage = stage;
    this.#source = source;
    this.#alive = alive;
    this.view = new View(
      () => stage.time.now,
      (uid) => stage.watcher.numbers.gone(uid),
    );
  }

  /** The source as the agent has it. `get` and `list` are not counted here: the caller does that. */
  watch(observer: PodObserver, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#observer = observer;
    const inner: PodObserver = {
      listed: () => {},
      changed: (pod) => this.#news({ kind: 'changed', pod }),
      deleted: (pod) => this.#news({ kind: 'deleted', pod }),
      failed: () => {},
    };
    void this.#source.watch(inner, signal);
    signal.addEventListener('abort', () => resolve(), { once: true });
    this.#relist();
    return promise;
  }

  /** A fresh connection and a true list: nothing old arrives any more. */
  refresh(): void {
    if (this.#observer === undefined) return;
    this.#connection++;
    this.#relistDue = false;
    this.#silent = false;
    this.#relist();
  }

  /** Half-open: nothing is heard until the idle time-out, then everything is listed anew. */
  silence(ms: number): void {
    if (this.#observer === undefined) return;
    this.#silent = true;
    this.#connection++;
    this.#relistDue = false;
    this.#in(ms, () => this.refresh());
  }

  /** Whether a GET fails or takes long, by chance. */
  getFault(): 'error' | 'slow' | undefined {
    const { random, weather, time } = this.#stage;
    if (time.now < weather.getsDownUntil) return 'error';
    if (!weather.rough) return undefined;
    if (random.chance(CHANCE.getError)) return 'error';
    return random.chance(CHANCE.slowGet) ? 'slow' : undefined;
  }

  #relist(): void {
    const { random, weather } = this.#stage;
    if (weather.rough && random.chance(CHANCE.listError)) {
      reached(this.#stage, 'list error');
      this.#in(random.between(1, 20), () =>
        this.#observer?.failed(new BerthError('PODS_UNREADABLE', 'the list failed')),
      );
      this.#in(random.between(100, 3_000), () => this.#relist());
      return;
    }
    const pods = weather.rough && random.chance(CHANCE.staleList) ? this.#staleList() : this.#stage.api.pods;
    this.#ordered(random.between(1, 40), () => {
      note(this.#stage, `listed ${pods.map(({ uid }) => uid.slice(-3)).join(' ')}`);
      this.view.list(pods);
      this.#observer?.listed(pods);
    });
  }

  /** A watch cache that lags: it lacks pods, or holds dead ones. It catches up, mostly. */
  #staleList(): readonly Pod[] {
    const { random, api } = this.#stage;
    const lacking = api.pods.filter(() => random.chance(0.3));
    const dead = api.graveyard.filter(() => random.chance(0.4));
    if (lacking.length > 0) reached(this.#stage, 'list lacks live pods');
    if (dead.length > 0) reached(this.#stage, 'list holds dead pods');
    for (const { uid } of lacking) {
      if (random.chance(0.5)) this.#in(random.between(100, 3_000), () => this.#catchUp(uid));
    }
    for (const pod of dead) this.#in(random.between(50, 3_000), () => this.#tell({ kind: 'deleted', pod }));
    return [...api.pods.filter((pod) => !lacking.includes(pod)), ...dead];
  }

  #catchUp(uid: string): void {
    const pod = this.#stage.api.pods.find((one) => one.uid === uid);
    if (pod !== undefined) this.#tell({ kind: 'changed', pod });
  }

  #news(news: News): void {
    const { random, weather } = this.#stage;
    if (this.#silent) return;
    const delay = random.chance(0.8) ? random.between(0, 5) : random.between(5, 60);
    if (weather.rough && random.chance(CHANCE.lost)) {
      reached(this.#stage, 'event lost', news.pod.uid.slice(-3));
      this.#relistSoon();
    } else if (weather.rough && random.chance(CHANCE.reordered)) {
      reached(this.#stage, 'events reordered', news.pod.uid.slice(-3));
      this.#in(delay + random.between(10, 3_000), () => this.#tell(news));
      this.#relistSoon();
    } else {
      this.#ordered(delay, () => this.#tell(news));
      if (!weather.rough || !random.chance(CHANCE.twice)) return;
      reached(this.#stage, 'event duplicated', news.pod.uid.slice(-3));
      this.#in(delay + random.between(0, 4_000), () => this.#tell(news));
      this.#relistSoon();
    }
  }

  /** What went wrong with the news is put right by a list in a while. */
  #relistSoon(): void {
    if (this.#relistDue) return;
    this.#relistDue = true;
    this.#in(this.#stage.random.between(3_000, 30_000), () => {
      this.#relistDue = false;
      this.#relist();
    });
  }

  #tell(news: News): void {
    note(this.#stage, `${news.kind} ${news.pod.uid.slice(-3)}`);
    if (news.kind === 'changed') {
      this.view.set(news.pod);
      this.#observer?.changed(news.pod);
    } else {
      this.view.delete(news.pod.uid);
      this.#observer?.deleted({ namespace: news.pod.namespace, name: news.pod.name, uid: news.pod.uid });
    }
  }

  #ordered(delay: number, run: () => void): void {
    const { time } = this.#stage;
    this.#nextAt = Math.max(this.#nextAt, time.now + delay);
    this.#in(this.#nextAt - time.now, run);
  }

  #in(ms: number, run: () => void): void {
    const connection = this.#connection;
    this.#stage.time.after(Math.min(ms, HOUR), () => {
      if (this.#alive() && connection === this.#connection) run();
    });
  }
}
