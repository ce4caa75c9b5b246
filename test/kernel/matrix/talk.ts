/** Open connections from one place to another, one each over TCP and UDP, IPv4 and IPv6, that are asked together. */
import type { Family } from '../../../daemon/core/vocabulary.ts';
import type { Namespace } from '../namespace.ts';
import { Conversation } from './conversation.ts';
import { type Addresses, FAMILIES } from './topology.ts';
import { type Tracked, tracked } from './tracked.ts';

export interface TalkOptions {
  readonly to: Addresses;
  readonly port: number;
  /** The client's own address; by default the kernel chooses. */
  readonly source?: Addresses;
  readonly families?: readonly Family[];
  readonly protocols?: readonly ('TCP' | 'UDP')[];
}

interface Line {
  readonly protocol: 'TCP' | 'UDP';
  readonly destination: string;
  readonly conversation: Conversation;
}

export class Talk implements Disposable {
  /** In the order of the answers: TCP and UDP over IPv4, then over IPv6. */
  readonly #lines: readonly Line[];

  constructor(from: Namespace, { to, port, source, families = FAMILIES, protocols = ['TCP', 'UDP'] }: TalkOptions) {
    this.#lines = families.flatMap((family) =>
      protocols.map((protocol) => {
        const question = { protocol, address: to[family], port, source: source?.[family] };
        return { protocol, destination: to[family], conversation: new Conversation(from, question) };
      }),
    );
  }

  ask(patience?: number): Promise<readonly string[]> {
    return Promise.all(this.#lines.map(({ conversation }) => conversation.ask(patience)));
  }

  /** What the node tracks of each; undefined: nothing. */
  tracked(node: Namespace): readonly (Tracked | undefined)[] {
    const all = tracked(node);
    return this.#lines.map(({ protocol, destination, conversation }) =>
      all.find(
        ({ original, ...entry }) =>
          entry.protocol === protocol &&
          original.destination === destination &&
          original.sourcePort === conversation.localPort,
      ),
    );
  }

  [Symbol.dispose](): void {
    for (const { conversation } of this.#lines) conversation[Symbol.dispose]();
  }
}

/** The answers when the server sees this client over everything. */
export function allSee(server: string, client: Addresses): readonly string[] {
  return FAMILIES.flatMap((family) => [`${server} sees ${client[family]}`, `${server} sees ${client[family]}`]);
}
