/** `berth completion SHELL`: the script for that shell. */
import { quoted } from '../../core/text.ts';
import { invalid } from '../values.ts';
import { bashCompletion } from './bash.ts';
import { fishCompletion } from './fish.ts';
import { COMMANDS, SHELLS, type Shell } from './grammar.ts';
import { zshCompletion } from './zsh.ts';

const SCRIPTS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

const HELP = `Usage: berth completion ${SHELLS.join('|')}

Prints a script that completes the command lines of berth:

  bash  source <(berth completion bash)
  zsh   source <(berth completion zsh), after compinit
  fish  berth completion fish | source
`;

/** The script, or the help. Throws CONFIG_INVALID. */
export function completion(argv: readonly string[]): string {
  if (argv.includes('--help') || argv.includes('-h')) return HELP;
  const [word, ...rest] = argv;
  const shell = SHELLS.find((one) => one === word);
  if (shell === undefined || rest.length > 0) {
    const what = word === undefined ? 'which shell?' : `${quoted(rest[0] ?? word)} is not what is expected:`;
    throw invalid(`${what} berth completion ${SHELLS.join('|')}`);
  }
  return scriptFor(shell);
}

export function scriptFor(shell: Shell): string {
  return SCRIPTS[shell](COMMANDS);
}
