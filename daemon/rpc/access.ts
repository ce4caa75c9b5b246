/**
 * Who may call what, by the descriptor of the method and never by a path that a client sent; what is not named here is denied
 * to everybody.
 */
import { status } from '@grpc/grpc-js';
import {
  type berth,
  HealthService,
  MappingService,
  NodeService,
  OldReflectionService,
  ReflectionService,
  ReportService,
} from '../../proto/service.ts';
import type { Caller, Verb } from './caller.ts';
import { Refusal } from './refusal.ts';

export interface Rule {
  /** Who calls need not be known. */
  readonly anybody?: true;
  /** Throws a Refusal when the caller may not call the method, whatever it asks for: nothing of that is read then. */
  admit(caller: Caller): void;
  /** Throws a Refusal when the caller, which was admitted, may not make this request; where that depends on it. */
  readonly allow?: (caller: Caller, request: unknown) => Promise<void>;
}

/** What anybody may ask who can connect: a kubelet has no token. */
const anybody: Rule = { anybody: true, admit: () => {} };

const reporter: Rule = {
  admit: ({ kind }) => {
    if (kind === 'client') throw denied('only agents report');
  },
};

/** The contract is no secret, but only who is known is answered at length. */
const client: Rule = {
  admit: ({ kind }) => {
    if (kind === 'agent') throw denied('an agent reports and reads nothing');
  },
};

const nobody: Rule = {
  admit: () => {
    throw denied('nobody may call this method');
  },
};

function reader<T>(verb: Verb, namespaceOf: (request: T) => string | null | undefined): Rule {
  const allow = async (caller: Caller, request: unknown) => {
    if (caller.kind !== 'client') return;
    const namespace = namespaceOf(request as T) || undefined;
    if (await caller.mayRead(verb, namespace)) return;
    throw denied(
      namespace === undefined
        ? 'the caller may not read all namespaces: name one'
        : 'the caller may not read this namespace',
    );
  };
  return { ...client, allow };
}

const RULES: ReadonlyMap<object, Rule> = new Map<object, Rule>([
  [MappingService.get, reader<berth.v1.GetRequest.$Properties>('get', ({ namespace }) => namespace)],
  [MappingService.list, reader<berth.v1.ListRequest.$Properties>('list', ({ filter }) => filter?.namespace)],
  [MappingService.watch, reader<berth.v1.WatchRequest.$Properties>('watch', ({ filter }) => filter?.namespace)],
  [NodeService.listNodes, reader('list', () => undefined)],
  [ReportService.report, reporter],
  [HealthService.check, anybody],
  [HealthService.watch, anybody],
  [ReflectionService.serverReflectionInfo, client],
  [OldReflectionService.serverReflectionInfo, client],
]);

/** The rule of a method, by its descriptor. */
export function ruleOf(method: object): Rule {
  return RULES.get(method) ?? nobody;
}

/** Throws a Refusal when the caller may not ask for the path over HTTP. */
export async function demandPath(caller: Caller, path: string): Promise<void> {
  if (caller.kind === 'loopback') return;
  if (caller.kind === 'client' && (await caller.mayGet(path))) return;
  throw denied(`the caller may not get ${path}`);
}

/** Whether the caller, who may report, may speak for the node. */
export function maySpeakFor(caller: Caller, node: string): boolean {
  return caller.kind === 'loopback' || (caller.kind === 'agent' && caller.node === node);
}

function denied(details: string): Refusal {
  return new Refusal(status.PERMISSION_DENIED, details);
}
