/**
 * The tie of the other runs: the agent's own reflector, publisher and client, over connections in memory to a double of the API
 * server. All of them belong to what is judged: the view notes what came over the wire, not what they made of it.
 */
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { type Api, ApiClient } from '../../daemon/kube/api/client.ts';
import type { Asked, Reply } from '../../daemon/kube/api/resources.double.ts';
import { TransportDouble } from '../../daemon/kube/api/transport.double.ts';
import { ApiPublisher } from '../../daemon/kube/publisher.ts';
import { Reflector } from '../../daemon/kube/reflector.ts';
import type { PodSource, Publisher } from '../../daemon/reconcile/ports.ts';
import type { AgentLife } from './agentlife.ts';
import { answeredList, asking } from './answers.ts';
import { faultOf, kindOf } from './apifaults.ts';
import type { Link } from './link.ts';
import { NODE, type ObjectShelf } from './objectshelf.ts';
import { note, reached } from './stage.ts';
import { View } from './view.ts';

const SERVER = 'https://10.96.0.1';
/** How long a watch over which nothing comes is waited for, at most, and what follows when it is opened anew, in ms. */
const HALF_OPEN_MS = 160_000;

export class ApiLink implements Link {
  readonly view: View;
  readonly transport: TransportDouble;
  source: PodSource;
  readonly #life: AgentLife;
  readonly #shelf: ObjectShelf;
  readonly #api: Api;
  #publisher: ApiPublisher;

  constructor(life: AgentLife, shelf: ObjectShelf) {
    const { stage } = life;
    this.#life = life;
    this.#shelf = shelf;
    this.view = new View(
      () => stage.time.now,
      (uid) => stage.watcher.numbers.gone(uid),
    );
    this.transport = this.#connect();
    const credentials = {
      server: SERVER,
      grant: async () => ({ headers: { authorization: 'Bearer simulated' }, tls: {} }),
      rejected: () => note(stage, 'the token is to be read anew'),
    };
    this.#api = new ApiClient({
      ...{ credentials, clock: life.clock },
      userAgent: 'berth-simulated',
      transport: this.transport,
    });
    this.source = this.#sourceOver(this.#api);
    this.#publisher = this.#publisherOver(this.#api);
  }

  get publisher(): Publisher {
    return this.#publisher;
  }

  get unfinished(): number {
    return this.#publisher.unfinished;
  }

  /** For a variant, before the agent starts: what is wrong with the client shows in what the agent makes of it. */
  alter(change: (api: Api) => Api): void {
    const client = change(this.#api);
    this.source = this.#sourceOver(client);
    this.#publisher = this.#publisherOver(client);
  }

  #sourceOver(client: Api): PodSource {
    const life = this.#life;
    const { stage } = life;
    const { clock, random } = this.#own();
    const reflector = new Reflector({ client, node: NODE, clock, random, reconnectCapMs: 30_000 });
    return {
      watch: (observer, signal) =>
        reflector.watch(
          {
            listed: (pods) => {
              note(stage, `listed ${pods.map(({ uid }) => uid.slice(-3)).join(' ')}`);
              this.view.list(pods);
              observer.listed(pods);
            },
            changed: (pod) => observer.changed(pod),
            deleted: (pod) => observer.deleted(pod),
            failed: (error) => {
              note(stage, `source failed: ${error.message}`);
              observer.failed(error);
            },
          },
          signal,
        ),
      get: async (namespace, name) => {
        const answered = asking(stage, this.view, namespace, name);
        const pod = await life.call('source.get', `${namespace}/${name}`, 0, 0, () => reflector.get(namespace, name));
        answered(pod);
        return pod;
      },
      list: async () => {
        const pods: readonly Pod[] = await life.call('source.list', '', 0, 0, () => reflector.list());
        answeredList(stage, this.view, pods);
        return pods;
      },
    };
  }

  #publisherOver(client: Api): ApiPublisher {
    const { stage } = this.#life;
    const onError = ({ message }: Error) => note(stage, `publisher: ${message}`);
    return new ApiPublisher({ client, node: NODE, ...this.#own(), onError });
  }

  /** Half-open until the connection breaks, or the agent gives it up. */
  silence(ms: number): void {
    const { stage } = this.#life;
    for (const watch of this.transport.watches) {
      reached(stage, 'watch half-open');
      watch.silent = true;
      this.#life.after(ms, () => {
        watch.silent = false;
        watch.break();
      });
    }
  }

  mend(): number {
    return [...this.transport.watches].some(({ silent }) => silent) ? HALF_OPEN_MS : 0;
  }

  forged(): void {}

  flush(): Promise<void> {
    return this.#publisher.flush();
  }

  close(): void {
    void this.transport[Symbol.asyncDispose]();
  }

  #own() {
    const { clock, random } = this.#life;
    return { clock, random: () => random.next() };
  }

  #connect(): TransportDouble {
    const life = this.#life;
    const { stage } = life;
    const { random, time } = stage;
    const { server } = this.#shelf;
    return new TransportDouble({
      server: { answer: (asked) => this.#answer(asked), watch: (query, say) => server.watch(query, say) },
      journey: (asked) => {
        note(stage, `${kindOf(asked)} ${asked.path} ${JSON.stringify(asked.body)}`);
        if (asked.method !== 'GET') stage.watcher.writing(life);
        const fault = faultOf(stage, asked);
        const slow = asked.method === 'GET' && stage.weather.rough && random.chance(0.02);
        if (slow) reached(stage, 'get slow');
        return {
          there: random.between(0.3, 15),
          back: slow ? random.between(2_000, 14_000) : random.between(0.2, 15),
          fault,
        };
      },
      lag: () => (random.chance(0.8) ? random.between(0, 5) : random.between(5, 60)),
      arrive: (ms, run) => void time.after(ms, run),
      deliver: (ms, run) => life.after(ms, run),
      onLine: (line) => this.#heard(line as { readonly type: string; readonly object: object }),
    });
  }

  /** The server does what it is asked, whoever asked lives or not. */
  #answer(asked: Asked): Reply {
    const { stage } = this.#life;
    const { server } = this.#shelf;
    if (asked.method !== 'GET' && !this.#life.alive) reached(stage, 'write of a dead agent arrives');
    const before = server.store.pods.get(
      asked.path
        .split('/')
        .slice(4)
        .filter((part) => part !== 'pods' && part !== 'status')
        .join('/'),
    );
    const reply = server.answer(asked);
    const kind = kindOf(asked);
    if (
      kind === 'list' &&
      server.resources.oldList !== undefined &&
      reply.code === 200 &&
      asked.query.resourceVersion !== undefined
    )
      reached(stage, 'list from a cache that is behind');
    if (reply.code === 504) reached(stage, 'cache is behind the revision that is asked for');
    if (kind === 'patch' || kind === 'status') {
      if (reply.code === 200 && before !== undefined) stage.watcher.patched(before.metadata.uid, asked.body);
      else if (reply.code !== 404) reached(stage, `write to a former life refused by ${server.resources.uidRefusal}`);
    }
    note(stage, `${kind} answered ${reply.code}`);
    return reply;
  }

  #heard({ type, object }: { readonly type: string; readonly object: object }): void {
    const { stage } = this.#life;
    if (type === 'BOOKMARK') reached(stage, 'bookmark only');
    else if (type === 'ERROR') reached(stage, 'revision expired');
    else {
      const pod = this.#shelf.decoded(object);
      note(stage, `${type} ${pod.uid.slice(-3)} ${pod.revision}`);
      if (type === 'DELETED') this.view.delete(pod.uid);
      else this.view.set(pod);
    }
  }
}
