/**
 * Completion of `kubectl berth`: kubectl (1.26 and newer) runs `kubectl_complete-berth` with the words behind `berth`, of which the last
 * is the one to complete, and reads lines as cobra writes them: a word, a tabulator, what it is for; at last how to go on. Pure.
 */
import { SUMMARIES } from '../commandlist.ts';
import { PLUGIN_NAMES, pluginTable } from '../kubectl/options.ts';
import { type CompletedOption, completedOptions } from './grammar.ts';

/** Of cobra: files are offered, or not. */
const FILES = 0;
const NO_FILES = 4;

export function kubectlCompletion(words: readonly string[]): string {
  const [command, ...rest] = words;
  const name = PLUGIN_NAMES.find((one) => one === command);
  if (name === undefined || rest.length === 0) {
    if (words.length > 1) return answer([], NO_FILES);
    return answer(
      beginningWith(
        command ?? '',
        PLUGIN_NAMES.map((one) => `${one}\t${SUMMARIES[one]}`),
      ),
      NO_FILES,
    );
  }
  const options = completedOptions(pluginTable(name));
  const last = rest.at(-1) ?? '';
  const before = options.find((option) => option.value.kind !== 'none' && flagsOf(option).includes(rest.at(-2) ?? ''));
  if (before !== undefined) return values(before, last);
  const [flag, begun] = last.split('=', 2);
  const given = options.find((option) => flagsOf(option).includes(flag ?? ''));
  if (begun !== undefined && given !== undefined) return values(given, begun);
  if (!last.startsWith('-')) return answer([], NO_FILES);
  const lines = options.flatMap((option) => flagsOf(option).map((one) => `${one}\t${option.about}`));
  return answer(beginningWith(last, lines), NO_FILES);
}

function values({ value }: CompletedOption, begun: string): string {
  if (value.kind === 'words') return answer(beginningWith(begun, value.words), NO_FILES);
  return answer([], value.kind === 'file' ? FILES : NO_FILES);
}

function flagsOf({ flag, short }: CompletedOption): readonly string[] {
  return [`--${flag}`, ...(short === undefined ? [] : [`-${short}`])];
}

function beginningWith(beginning: string, lines: readonly string[]): readonly string[] {
  return lines.filter((line) => line.startsWith(beginning));
}

function answer(lines: readonly string[], directive: number): string {
  return [...lines, `:${directive}`, ''].join('\n');
}
