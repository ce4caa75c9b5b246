/**
 * `berth get`, `list`, `watch` and `nodes`, their arguments already split: what they ask and how they end. They write to
 * the streams that they are given, and never end the process.
 */
import { once } from 'node:events';
import type { Writable } from 'node:stream';
import { BerthError, messageOf } from '../core/errors.ts';
import { quoted } from '../core/text.ts';
import { type ClientArguments, readFilter, readTarget, refuseArguments } from './arguments.ts';
import type { BerthClient } from './berthclient.ts';
import { renderNodes } from './nodetable.ts';
import { renderAnswer, watchRenderer } from './render.ts';
import type { Answer, FreshnessView, NodeView } from './views.ts';

/** How the commands end. */
export const EXIT = { found: 0, error: 1, usage: 2, notFound: 3 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What a command has of the world. */
export interface Surroundings {
  readonly stdout: Writable;
  readonly stderr: Writable;
  /** Ends the command: Ctrl-C, or nobody reads what it writes to `stdout`. */
  readonly signal: AbortSignal;
  /** Called once the command line is known to be right. */
  readonly connect: () => BerthClient;
  /** ms since the epoch, for ages. */
  readonly now: () => number;
}

/**
 * `berth get NAMESPACE/POD [PORT[/PROTOCOL]]`: where this pod can be reached; PORT is a port's name or the number of a
 * container port. `found`, or `notFound` when it has no such mapping that is live.
 */
export function get(positionals: readonly string[], options: ClientArguments, around: Surroundings): Promise<ExitCode> {
  return run(around, async (signal) => {
    const { question, containerPort, port } = readTarget(positionals, options.namespace);
    using client = around.connect();
    const { mappings, freshness } = await client.get(question, { signal });
    const found = mappings.filter((mapping) => containerPort === undefined || mapping.containerPort === containerPort);
    warnIncomplete(freshness, around.stderr);
    await print(around.stdout, renderAnswer({ mappings: found, freshness }, options.output, around.now()), signal);
    if (found.length > 0) return EXIT.found;
    const what = port === undefined ? 'no port' : `no port ${quoted(port)}`;
    const pod = `${quoted(question.pod)} in namespace ${quoted(question.namespace)}`;
    const remedy = "the pod's condition berth.dev/PortsMapped says why (kubectl describe pod)";
    const where = client.scope === 'node' ? 'on this node' : 'on any node that has been heard';
    around.stderr.write(`berth: ${what} of pod ${pod} is mapped ${where}: ${remedy}\n`);
    if (positionals[0]?.startsWith(`${question.namespace}/`) && /^pods?$/.test(question.namespace))
      around.stderr.write(`berth: what stands before the / is the namespace: ${quoted(question.namespace)} here\n`);
    return EXIT.notFound;
  });
}

/** `berth list`: every mapping that matches. `found` also when none does, as an empty list is an answer. */
export function list(
  positionals: readonly string[],
  options: ClientArguments,
  around: Surroundings,
): Promise<ExitCode> {
  return run(around, async (signal) => {
    refuseArguments(positionals);
    const filter = readFilter(options);
    using client = around.connect();
    const pages: Answer[] = [];
    for await (const page of client.list(filter, { signal })) pages.push(page);
    const freshness = pages.at(-1)?.freshness ?? { nodesHeard: 0, nodesKnown: 0 };
    const mappings = pages.flatMap((page) => page.mappings);
    warnIncomplete(freshness, around.stderr);
    await print(around.stdout, renderAnswer({ mappings, freshness }, options.output, around.now()), signal);
    if (mappings.length === 0) around.stderr.write('berth: no live mapping matches\n');
    return EXIT.found;
  });
}

/** `berth nodes`: every node that an aggregator knows. */
export function nodes(
  positionals: readonly string[],
  options: Pick<ClientArguments, 'output'>,
  around: Surroundings,
): Promise<ExitCode> {
  return run(around, async (signal) => {
    refuseArguments(positionals);
    using client = around.connect();
    const found: NodeView[] = [];
    let freshness: FreshnessView = { nodesHeard: 0, nodesKnown: 0 };
    for await (const page of client.listNodes({ signal })) {
      found.push(...page.nodes);
      freshness = page.freshness;
    }
    warnIncomplete(freshness, around.stderr);
    await print(around.stdout, renderNodes({ nodes: found, freshness }, options.output, around.now()), signal);
    if (found.length === 0) around.stderr.write('berth: no node is known\n');
    return EXIT.found;
  });
}

/** `berth watch`: the mappings that match, then every change, through restarts and from replica to replica, until the signal aborts. */
export function watch(
  positionals: readonly string[],
  options: ClientArguments,
  around: Surroundings,
): Promise<ExitCode> {
  const body = async (signal: AbortSignal) => {
    refuseArguments(positionals);
    const filter = readFilter(options);
    const render = watchRenderer(options.output, around.now);
    using client = around.connect();
    let lost = false;
    for await (const event of client.watch(filter, { signal })) {
      if (event.kind === 'lost') {
        lost = true;
        around.stderr.write(`berth: connection lost, trying again: ${messageOf(event.error)}\n`);
      }
      if (event.kind === 'synced') {
        if (lost) around.stderr.write('berth: connected again\n');
        lost = false;
        warnIncomplete(event.freshness, around.stderr);
      }
      await print(around.stdout, render(event), signal);
    }
    return EXIT.found;
  };
  return run(around, body, EXIT.found);
}

/** `error` for whatever is thrown, with its message; `usage` when the command line is wrong; `interrupted`, quietly, when that is why. */
async function run(
  around: Surroundings,
  body: (signal: AbortSignal) => Promise<ExitCode>,
  interrupted: ExitCode = EXIT.error,
): Promise<ExitCode> {
  try {
    return await body(around.signal);
  } catch (error) {
    if (around.signal.aborted) return interrupted;
    around.stderr.write(`berth: ${messageOf(error)}\n`);
    return error instanceof BerthError && error.code === 'USAGE' ? EXIT.usage : EXIT.error;
  }
}

/** Waits for a reader that is slower than we are. */
async function print(stdout: Writable, text: string, signal: AbortSignal): Promise<void> {
  if (text !== '' && !stdout.write(text)) await once(stdout, 'drain', { signal });
}

function warnIncomplete({ nodesHeard, nodesKnown }: FreshnessView, stderr: Writable): void {
  if (nodesHeard >= nodesKnown) return;
  stderr.write(`berth: the answer is incomplete: ${nodesHeard} of ${nodesKnown} nodes have been heard\n`);
}
