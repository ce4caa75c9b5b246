/** Completion for zsh, to be sourced or to be found in `fpath` as `_berth`. Pure. */
import type { CompletedCommand, CompletedOption } from './grammar.ts';
import { single } from './quote.ts';

export function zshCompletion(commands: readonly CompletedCommand[]): string {
  return `#compdef berth
# Completion of berth for zsh: source <(berth completion zsh)
_berth() {
  local -a commands
  commands=(
${commands.map(({ name, summary }) => `    ${single(`${name}:${summary}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
${commands.map(commandCase).join('\n')}
  esac
}
if [[ $funcstack[1] == _berth ]]; then
  _berth "$@"
else
  compdef _berth berth
fi
`;
}

function commandCase({ name, options, words }: CompletedCommand): string {
  const rest = words.length === 0 ? [] : [`1:shell:(${words.join(' ')})`];
  const specs = [...options.flatMap(specsOf), ...rest].map((spec) => ` \\\n        ${single(spec)}`).join('');
  return `    ${name})\n      _arguments -s${specs}\n      ;;`;
}

function specsOf(option: CompletedOption): string[] {
  const { flag, short, about, value, many } = option;
  const both = many ? '*' : short === undefined ? '' : `(-${short} --${flag})`;
  const told = `[${escaped(about)}]${actionOf(option)}`;
  const long = value.kind === 'none' ? `--${flag}` : `--${flag}=`;
  return [`${both}${long}${told}`, ...(short === undefined ? [] : [`${both}-${short}${told}`])];
}

function actionOf({ value, placeholder }: CompletedOption): string {
  if (value.kind === 'none') return '';
  const action = value.kind === 'words' ? `(${value.words.join(' ')})` : value.kind === 'file' ? '_files' : ' ';
  return `:${escaped(placeholder)}:${action}`;
}

/** A colon ends a part of a specification, a bracket its description. */
function escaped(text: string): string {
  return text.replaceAll(/[\\[\]:]/g, '\\$&');
}
