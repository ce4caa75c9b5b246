/**
 * Clients that ask: Get of one pod, or List of a page, a namespace and a node, at a steady pace whatever the answers take. A program. Who asks
 * for one kind asks for no other: to collect what pages leave behind would be counted as the time of a Get.
 */
import { Metadata } from '@grpc/grpc-js';
import { MappingService, type Method } from '../../../proto/service.ts';
import { type Place, readerAt } from './channel.ts';
import { answering } from './member.ts';
import { CHANGING, MAPPINGS_PER_NODE, NAMESPACES, namespaceOf, nodeName, podOf } from './population.ts';

export interface Asked {
  /** Of each answer, in ms. */
  readonly get: readonly number[];
  /** Of one page of 500 of the whole. */
  readonly page: readonly number[];
  readonly namespace: readonly number[];
  readonly node: readonly number[];
  /** Answers that failed or were not what is live, in words. */
  readonly wrong: readonly string[];
}

export interface AskerQuestions {
  /** Connects and asks each question once. */
  start(place: Place, nodes: number): Promise<void>;
  /** Asks for Gets, or for Lists, for so long. */
  ask(what: 'gets' | 'lists', seconds: number): Promise<Asked>;
}

const CONNECTIONS = 4;
/** In a second. */
const PACES = { gets: 100, lists: 10 } as const;

let clients: ReturnType<typeof readerAt>[] = [];
let nodes = 0;
let turn = 0;
const wrong: string[] = [];

/** Resolves to how long the answer took, in ms; what is wrong with it is noted. */
function ask<Q, R>(
  method: Method<Q, unknown, never, R, false>,
  request: Q,
  check: (answer: R) => string | undefined,
): Promise<number> {
  const client = clients[turn++ % CONNECTIONS] as (typeof clients)[number];
  const { promise, resolve } = Promise.withResolvers<number>();
  const began = performance.now();
  const { path, requestSerialize, responseDeserialize } = method;
  client.makeUnaryRequest(path, requestSerialize, responseDeserialize, request, new Metadata(), (error, answer) => {
    const took = performance.now() - began;
    const fault = error === null ? check(answer as R) : error.message;
    if (fault !== undefined) wrong.push(`${path}: ${fault}`);
    resolve(took);
  });
  return promise;
}

function get(): Promise<number> {
  const node = Math.floor(Math.random() * nodes);
  const slot = CHANGING + Math.floor(Math.random() * (MAPPINGS_PER_NODE - CHANGING));
  const pod = podOf(node, slot);
  return ask(MappingService.get, { namespace: namespaceOf(node, slot), pod }, ({ mappings }) => {
    const found = mappings?.some((one) => one.node === nodeName(node) && one.hostPort === 20_000 + slot && !one.stale);
    return found ? undefined : `pod ${pod} of node ${node} was not found among ${mappings?.length}`;
  });
}

const LISTS = {
  page: () => ask(MappingService.list, {}, ({ mappings }) => less(mappings?.length, 500)),
  namespace: () => {
    const namespace = namespaceOf(Math.floor(Math.random() * NAMESPACES), 0);
    return ask(MappingService.list, { filter: { namespace } }, ({ mappings }) => less(mappings?.length, 1));
  },
  node: () => {
    const node = nodeName(Math.floor(Math.random() * nodes));
    const fewest = MAPPINGS_PER_NODE - CHANGING;
    return ask(MappingService.list, { filter: { node } }, ({ mappings }) => less(mappings?.length, fewest));
  },
};

function less(count = 0, than: number): string | undefined {
  return count < than ? `${count} mappings, expected at least ${than}` : undefined;
}

const answers: AskerQuestions = {
  start: async (place, count) => {
    nodes = count;
    clients = Array.from({ length: CONNECTIONS }, () => readerAt(place));
    for (let index = 0; index < CONNECTIONS; index++) await get();
    for (const list of Object.values(LISTS)) await list();
    if (wrong.length > 0) throw new Error(wrong[0]);
  },
  ask: async (what, seconds) => {
    wrong.length = 0;
    const samples = { get: [] as number[], page: [] as number[], namespace: [] as number[], node: [] as number[] };
    const kinds = Object.keys(LISTS) as (keyof typeof LISTS)[];
    const waiting: Promise<unknown>[] = [];
    const began = performance.now();
    let asked = 0;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setInterval(() => {
      const elapsed = performance.now() - began;
      for (const due = (elapsed / 1_000) * PACES[what]; asked < due; asked++) {
        if (what === 'gets') waiting.push(get().then((took) => samples.get.push(took)));
        else {
          const kind = kinds[asked % kinds.length] as keyof typeof LISTS;
          waiting.push(LISTS[kind]().then((took) => samples[kind].push(took)));
        }
      }
      if (elapsed < seconds * 1_000) return;
      clearInterval(timer);
      resolve();
    }, 1_000 / PACES[what]);
    await promise;
    await Promise.all(waiting);
    return { ...samples, wrong: [...wrong] };
  },
};

answering(answers);
