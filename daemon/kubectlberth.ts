/**
 * `kubectl berth`: the client commands, asked from an aggregator that the API server forwards to. Started as `kubectl-berth`, which is
 * how kubectl finds it. The library for the API server is loaded when a command is about to ask.
 */

import { aggregatorPods } from './kube/forward/aggregatorpods.ts';
import { openApiServer } from './kube/forward/apiserver.ts';
import { Forwarder } from './kube/forward/forwarder.ts';
import { systemClock } from './ops/clock.ts';
import { noCommand, SUMMARIES } from './ops/commandlist.ts';
import { kubectlCompletion } from './ops/completion/kubectl.ts';
import { PLUGIN_NAMES, type PluginOptions, readPluginOptions } from './ops/kubectl/options.ts';
import type { Sources } from './ops/optiontable.ts';
import { invalid } from './ops/values.ts';
import { readPodName, type WaitOptions } from './ops/wait/options.ts';
import { deliver } from './ops/wait/wait.ts';
import { BerthClient } from './rpc/berthclient.ts';
import { EXIT, get, list, nodes, type Surroundings, watch } from './rpc/commands.ts';
import { forwardedEndpoint } from './rpc/endpoint.ts';
import { waitForPod } from './waiting.ts';

const COMMANDS = { list, get, watch, nodes } as const;
/** What kubectl_complete-berth runs, with the words behind `kubectl berth`. */
const COMPLETE = '__complete';

const HELP = `kubectl berth: where the pods of this cluster can be reached

usage: kubectl berth COMMAND [OPTIONS]

${PLUGIN_NAMES.map((name) => `  ${name.padEnd(10)} ${SUMMARIES[name]}`).join('\n')}

kubectl berth COMMAND --help tells the options of a command.
`;

/** How the command ended. Rejects with CONFIG_INVALID for a wrong command line. */
export async function runPlugin(sources: Sources, around: Omit<Surroundings, 'connect'>): Promise<number> {
  const [word, ...argv] = sources.argv;
  if (word === COMPLETE) {
    around.stdout.write(kubectlCompletion(argv));
    return EXIT.found;
  }
  const name = PLUGIN_NAMES.find((one) => one === word);
  if (name === undefined) {
    const asked = word === undefined || word === 'help' || word === '--help' || word === '-h';
    if (asked) around.stdout.write(HELP);
    else around.stderr.write(`kubectl berth: ${noCommand(word)}; kubectl berth --help lists the commands\n`);
    return asked && word !== undefined ? EXIT.found : EXIT.usage;
  }
  const command = readPluginOptions(name, { ...sources, argv });
  if (command.kind === 'help') {
    around.stdout.write(command.text);
    return EXIT.found;
  }
  const { options, positionals } = command;
  if (name === 'wait') return await wait(options, readPodName(positionals), around);
  await using reached = await reach(options);
  const namespace = namespaceFor(options, reached.namespace, positionals);
  const asked = { ...options.own, namespace } as Parameters<typeof list>[1];
  // What was opened is held until the command has ended.
  return await COMMANDS[name](positionals, asked, { ...around, connect: reached.connect });
}

async function wait(
  options: PluginOptions,
  pod: string | undefined,
  { stdout, signal }: Pick<Surroundings, 'stdout' | 'signal'>,
): Promise<number> {
  if (pod === undefined) throw invalid('which pod? kubectl berth wait pod/NAME');
  await using reached = await reach(options);
  const { namespace = reached.namespace } = options;
  const own = options.own as WaitOptions;
  const lines = waitForPod(reached.connect, { namespace, pod }, own, systemClock, signal);
  return await deliver(lines, own.envFile, stdout, signal);
}

interface Reached extends AsyncDisposable {
  /** Of the context. */
  readonly namespace: string;
  readonly connect: () => BerthClient;
}

async function reach({ server, aggregatorNamespace, aggregatorPort }: PluginOptions): Promise<Reached> {
  const api = await openApiServer(server);
  /** Of the connection of which something was heard last. */
  let last: Error | undefined;
  const forwarder = await Forwarder.open({
    carrier: api.carrier,
    namespace: aggregatorNamespace,
    port: aggregatorPort,
    choose: aggregatorPods(api, aggregatorNamespace),
    onOutcome: (error) => {
      last = error;
    },
  });
  const endpoint = forwardedEndpoint(forwarder.path, () => last, server.requestTimeout);
  return {
    namespace: api.namespace,
    // Twice, as each connection leads to the next pod.
    connect: () => new BerthClient([endpoint, endpoint]),
    [Symbol.asyncDispose]: async () => {
      forwarder[Symbol.dispose]();
      api[Symbol.dispose]();
    },
  };
}

/** Of NAMESPACE/POD the one that is written there. */
function namespaceFor(
  { namespace, allNamespaces }: PluginOptions,
  ofContext: string,
  positionals: readonly string[],
): string | undefined {
  if (namespace !== undefined) return namespace;
  return allNamespaces || positionals[0]?.includes('/') ? undefined : ofContext;
}
