/** The text of --help, made from the table of options so that it cannot say anything else. */
import { flagOf, type Option, type OptionTable, settingsOf, variableOf } from './optiontable.ts';

const WIDTH = 96;
const COLUMN = 6;

/** `program`: what stands before the command. */
export function helpText(command: string, about: string, table: OptionTable, program = 'berth'): string {
  const options = Object.entries(table).map(([key, option]) => optionHelp(key, option));
  return [
    `Usage: ${program} ${command} [options]\n`,
    `${wrap(about, 0)}\n`,
    'Options:\n',
    ...options,
    `  -h, --help\n${wrap('Prints this text.', COLUMN)}\n`,
    settingsHelp(table),
    '',
  ].join('\n');
}

/** Without `config` there is no file. */
function settingsHelp(table: OptionTable): string {
  const all = settingsOf(table).length === Object.keys(table).length;
  const everyOption = all ? 'Every option' : 'Every option that has a variable above';
  const told = table.config
    ? `${everyOption} can be set by its flag, its environment variable, or its key in the file given with --config (--node-name is nodeName there). The first of these that is set counts.`
    : `${everyOption} can be set by its flag or its environment variable. The flag counts first.`;
  return wrap(told, 0);
}

function optionHelp(key: string, option: Option): string {
  const flag = `${option.short === undefined ? '' : `-${option.short}, `}--${flagOf(key, option)}`;
  const head = option.type === 'boolean' ? flag : `${flag}=${option.value}`;
  const facts = option.flagOnly ? [] : [variableOf(key, option)];
  if (option.default) facts.push(`default: ${option.default}`);
  if (option.required) facts.push('required');
  if (option.noKey) facts.push('no key');
  const told = facts.length === 0 ? '' : ` [${facts.join('; ')}]`;
  return `  ${head}${told}\n${wrap(option.help, COLUMN)}\n`;
}

/** Lines of at most WIDTH columns, each indented. */
function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && indent + line.length + 1 + word.length > WIDTH) {
      lines.push(line);
      line = '';
    }
    line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  return lines.map((one) => ' '.repeat(indent) + one).join('\n');
}
