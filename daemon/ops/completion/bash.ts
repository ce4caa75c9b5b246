/** Completion for bash 3.2 and newer, without the package bash-completion. Pure. */
import type { CompletedCommand, CompletedOption } from './grammar.ts';
import { single } from './quote.ts';

export function bashCompletion(commands: readonly CompletedCommand[]): string {
  return `# Completion of berth for bash: source <(berth completion bash)
_berth() {
  local cur=\${COMP_WORDS[COMP_CWORD]} prev=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} words='' IFS=$' \\t\\n'
  COMPREPLY=()
  if [[ $COMP_CWORD -eq 1 ]]; then
    COMPREPLY=($(compgen -W ${single(['--help', '--version', ...commands.map(({ name }) => name)].join(' '))} -- "$cur"))
    return
  fi
  # bash takes --flag=value apart.
  if [[ $cur == '=' ]]; then cur=''; elif [[ $prev == '=' ]]; then prev=\${COMP_WORDS[COMP_CWORD-2]}; fi
  case "$command $prev" in
${commands.flatMap(({ name, options }) => options.flatMap((option) => valueCase(name, option))).join('\n')}
  esac
  case "$command" in
${commands.map(commandCase).join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -F _berth berth
`;
}

function valueCase(command: string, option: CompletedOption): string[] {
  if (option.value.kind === 'none') return [];
  const pattern = flagsOf(option)
    .map((flag) => `'${command} ${flag}'`)
    .join('|');
  return [`    ${pattern}) ${actionOf(option)} return ;;`];
}

function actionOf({ value }: CompletedOption): string {
  switch (value.kind) {
    case 'words':
      return `COMPREPLY=($(compgen -W ${single(value.words.join(' '))} -- "$cur"));`;
    case 'file':
      return `compopt -o filenames 2>/dev/null; IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$cur"));`;
    default:
      return '';
  }
}

function commandCase({ name, options, words }: CompletedCommand): string {
  const flags = options.flatMap(flagsOf).join(' ');
  return `    ${name}) if [[ $cur == -* ]]; then words=${single(flags)}; else words=${single(words.join(' '))}; fi ;;`;
}

function flagsOf({ flag, short }: CompletedOption): string[] {
  return [`--${flag}`, ...(short === undefined ? [] : [`-${short}`])];
}
