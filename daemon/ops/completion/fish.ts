/** Completion for fish 3. Pure. */
import type { CompletedCommand, CompletedOption } from './grammar.ts';
import { fishSingle } from './quote.ts';

export function fishCompletion(commands: readonly CompletedCommand[]): string {
  return `# Completion of berth for fish: berth completion fish | source
complete -c berth -f
${commands.flatMap(linesOf).join('\n')}
`;
}

function linesOf({ name, summary, options, words }: CompletedCommand): string[] {
  const here = `complete -c berth -n '__fish_seen_subcommand_from ${name}'`;
  return [
    `complete -c berth -n __fish_use_subcommand -a ${name} -d ${fishSingle(summary)}`,
    ...options.map((option) => `${here} ${optionOf(option)}`),
    ...(words.length === 0 ? [] : [`${here} -a ${fishSingle(words.join(' '))}`]),
  ];
}

function optionOf(option: CompletedOption): string {
  const { flag, short, about } = option;
  return `-l ${flag}${short === undefined ? '' : ` -s ${short}`}${valueArguments(option)} -d ${fishSingle(about)}`;
}

function valueArguments({ value }: CompletedOption): string {
  switch (value.kind) {
    case 'words':
      return ` -x -a ${fishSingle(value.words.join(' '))}`;
    case 'file':
      return ' -r -F';
    case 'free':
      return ' -x';
    case 'none':
      return '';
  }
}
