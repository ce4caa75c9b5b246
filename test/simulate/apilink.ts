/**
 * The tie of the other runs: the agent's own reflector, publisher and client, over connections in memory to a double of the API
 * server. All of them belong to what is judged: the view notes what came over the wire, not what they made of it.
 */
import type { Pod } from '../../daemon/core/vocabulary.ts';
import { type Api, ApiClient } from '../../daemon/kube/api/client.ts';
import type { TransportDouble } from '../../daemon/kube/api/transport.double.ts';
import { ApiPublisher } from '../../daemon/kube/publisher.ts';
import { Reflector } from '../../daemon/kube/reflector.ts';
import type { PodSource, Publisher } from '../../daemon/reconcile/ports.ts';
import type { AgentLife } from './agentlife.ts';
import { asking, askingList } from './answers.ts';
import type { Ground } from './ground.ts';
import type { Link } from './link.ts';
import { note, reached } from './stage.ts';
import type { View } from './view.ts';

const SERVER = 'https://10.96.0.1';
/** How long a watch over which nothing comes is waited for, at most, and what follows when it is opened anew, in ms. */
const HALF_OPEN_MS = 160_000;

export interface ApiLinkOptions {
  readonly node: string;
  /** Where what comes over the wire is noted. */
  readonly view: View;
  readonly transport: TransportDouble;
}

export class ApiLink implements Link {
  readonly view: View;
  readonly transport: TransportDouble;
  source: PodSource;
  readonly #life: AgentLife<Ground>;
  readonly #node: string;
  readonly api: Api;
  #publisher: ApiPublisher;

  constructor(life: AgentLife<Ground>, { node, view, transport }: ApiLinkOptions) {
    const { stage } = life;
    this.#life = life;
    this.#node = node;
    this.view = view;
    this.transport = transport;
    const credentials = {
      server: SERVER,
      grant: async () => ({ headers: { authorization: 'Bearer simulated' }, tls: {} }),
      rejected: () => note(stage, 'the token is to be read anew'),
    };
    this.api = new ApiClient({
      ...{ credentials, clock: life.clock },
      userAgent: 'berth-simulated',
      transport: this.transport,
    });
    this.source = this.#sourceOver(this.api);
    this.#publisher = this.#publisherOver(this.api);
  }

  get publisher(): Publisher {
    return this.#publisher;
  }

  get unfinished(): number {
    return this.#publisher.unfinished;
  }

  /** For a variant, before the agent starts: what is wrong with the client shows in what the agent makes of it. */
  alter(change: (api: Api) => Api): void {
    const client = change(this.api);
    this.source = this.#sourceOver(client);
    this.#publisher = this.#publisherOver(client);
  }

  #sourceOver(client: Api): PodSource {
    const life = this.#life;
    const { stage } = life;
    const { clock, random } = this.#own();
    const reflector = new Reflector({ client, node: this.#node, clock, random, reconnectCapMs: 30_000 });
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
        const answered = askingList(stage, this.view);
        const pods: readonly Pod[] = await life.call('source.list', '', 0, 0, () => reflector.list());
        answered(pods);
        return pods;
      },
    };
  }

  #publisherOver(client: Api): ApiPublisher {
    const { stage } = this.#life;
    const onError = ({ message }: Error) => note(stage, `publisher: ${message}`);
    return new ApiPublisher({ client, node: this.#node, ...this.#own(), onError });
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
}
