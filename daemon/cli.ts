#!/usr/bin/env -S node --
/**
 * `berth`: finds the command and runs it. Each command is loaded only when it is asked for, so that `berth list` starts
 * without the agent's libraries. The only place that ends the process.
 */
import { hostname } from 'node:os';
import { BerthError, messageOf } from './core/errors.ts';
import type { ClientName } from './ops/clientoptions.ts';
import { type CommandName, noCommand, SUMMARIES } from './ops/commandlist.ts';
import type { Sources } from './ops/optiontable.ts';
import { VERSION } from './version.ts';

type Command = (argv: readonly string[], signal: AbortSignal) => Promise<number>;

const USAGE = 2;
/** Not told in the help: it stands in the file kubectl-berth. */
const PLUGIN = 'kubectl';

const COMMANDS: Readonly<Record<CommandName, Command>> = {
  agent,
  aggregator,
  list: (argv, signal) => client('list', argv, signal),
  get: (argv, signal) => client('get', argv, signal),
  watch: (argv, signal) => client('watch', argv, signal),
  nodes: (argv, signal) => client('nodes', argv, signal),
  wait,
  doctor,
  uninstall,
  completion: async (argv) => print((await import('./ops/completion/completion.ts')).completion(argv)),
};

const HELP = `berth ${VERSION}: host ports for pods, allocated on the node

usage: berth COMMAND [OPTIONS]

${Object.entries(SUMMARIES)
  .map(([name, summary]) => `  ${name.padEnd(10)} ${summary}`)
  .join('\n')}

berth COMMAND --help tells the options of a command.
`;

async function agent(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { readAgentOptions } = await import('./ops/agentoptions.ts');
  const command = readAgentOptions(await sourcesOf(argv), hostname());
  if (command.kind === 'help') return print(command.text);
  const { runAgent } = await import('./agent.ts');
  await runAgent(command.options, signal);
  return 0;
}

async function aggregator(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { readAggregatorOptions } = await import('./ops/aggregatoroptions.ts');
  const command = readAggregatorOptions(await sourcesOf(argv));
  if (command.kind === 'help') return print(command.text);
  const { runAggregator } = await import('./aggregator.ts');
  await runAggregator(command.options, signal);
  return 0;
}

async function doctor(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { readDoctorOptions } = await import('./ops/doctor/options.ts');
  const command = readDoctorOptions(await sourcesOf(argv), hostname());
  if (command.kind === 'help') return print(command.text);
  const { runDoctor } = await asking(() => import('./doctor.ts'));
  return runDoctor(command.options, { stdout: process.stdout, stderr: process.stderr, signal });
}

async function uninstall(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { readUninstallOptions } = await import('./ops/uninstall/options.ts');
  const command = readUninstallOptions(await sourcesOf(argv), hostname());
  if (command.kind === 'help') return print(command.text);
  const { runUninstall } = await import('./uninstall.ts');
  return runUninstall(command.options, { stdout: process.stdout, stderr: process.stderr, signal });
}

async function wait(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { readWaitOptions } = await import('./ops/wait/options.ts');
  const command = readWaitOptions(await sourcesOf(argv));
  if (command.kind === 'help') return print(command.text);
  const { pod, options } = command;
  const { deliver, waitForNumbers } = await import('./ops/wait/wait.ts');
  const { systemClock } = await import('./ops/clock.ts');
  if (pod === undefined)
    return deliver(waitForNumbers(options, systemClock, signal), options.envFile, process.stdout, signal);
  const { waitForPod } = await asking(() => import('./waiting.ts'));
  const { connectTo } = await import('./connection.ts');
  const lines = waitForPod(() => connectTo(pod.ask), pod, options, systemClock, signal);
  return deliver(lines, options.envFile, process.stdout, signal);
}

async function client(name: ClientName, argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { readClientOptions } = await import('./ops/clientoptions.ts');
  const command = readClientOptions(name, await sourcesOf(argv));
  if (command.kind === 'help') return print(command.text);
  const commands = await import('./rpc/commands.ts');
  const { connectTo } = await asking(() => import('./connection.ts'));
  const connect = () => connectTo(command.options.ask);
  const around = { stdout: process.stdout, stderr: process.stderr, signal, connect, now: Date.now };
  return commands[name](command.positionals, command.options, around);
}

/**
 * Loads what asks over gRPC. grpc-js gives TLS an address as the name of the server, of which Node warns; the certificate is checked
 * for the address.
 */
async function asking<T>(load: () => Promise<T>): Promise<T> {
  process.noDeprecation = true;
  const loaded = await load();
  (await import('./grpclog.ts')).printGrpc(process.stderr);
  return loaded;
}

/** What kubectl-berth runs. */
async function plugin(argv: readonly string[], signal: AbortSignal): Promise<number> {
  const { runPlugin } = await asking(() => import('./kubectlberth.ts'));
  const around = { stdout: process.stdout, stderr: process.stderr, signal, now: Date.now };
  return runPlugin(await sourcesOf(argv), around);
}

async function sourcesOf(argv: readonly string[]): Promise<Sources> {
  const { EVERY_TABLE } = await import('./ops/programs.ts');
  return { argv, env: process.env, others: EVERY_TABLE };
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}

async function main(argv: readonly string[]): Promise<number> {
  const [name, ...rest] = argv;
  const stop = new AbortController();
  // A reader that goes away (`berth watch | head`) ends the command; without a listener it would be an uncaught EPIPE.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    unwritten ??= error;
    stop.abort();
  });
  process.stderr.on('error', () => {});
  if (name === '--version' || name === 'version') {
    process.stdout.write(`${VERSION}\n`);
    return 0;
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    process.stdout.write(HELP);
    return name === undefined ? USAGE : 0;
  }
  const command = Object.hasOwn(COMMANDS, name) ? COMMANDS[name as CommandName] : name === PLUGIN ? plugin : undefined;
  if (command === undefined) {
    process.stderr.write(`berth: ${noCommand(name)}; berth --help lists the commands\n`);
    return USAGE;
  }
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
  try {
    return await command(rest, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return 0;
    process.stderr.write(`${name === PLUGIN ? 'kubectl berth' : `berth ${name}`}: ${messageOf(error)}\n`);
    return error instanceof BerthError && (error.code === 'USAGE' || error.code === 'CONFIG_INVALID') ? USAGE : 1;
  }
}

/** Why what was written to stdout did not arrive. */
let unwritten: NodeJS.ErrnoException | undefined;

/** 1 in place of 0 when the output is lost; a reader that went away had enough of it. */
async function delivered(code: number): Promise<number> {
  await new Promise<void>((resolve) => process.stdout.write('', () => resolve()));
  if (unwritten === undefined || unwritten.code === 'EPIPE') return code;
  process.stderr.write(`berth: cannot write to stdout: ${unwritten.message}\n`);
  return code === 0 ? 1 : code;
}

process.exitCode = await delivered(await main(process.argv.slice(2)));
