/** Options that the programs that run for long have in common, word for word. */
import type { Option } from './optiontable.ts';
import { absolutePath, oneOf, truth } from './values.ts';

export const LOG_FORMAT = {
  type: 'string',
  value: 'FORMAT',
  default: 'json',
  parse: oneOf(['json', 'text']),
  help: 'json, one object a line, or text, for people.',
} as const satisfies Option;

export const INSECURE_METRICS = {
  type: 'boolean',
  value: '',
  default: 'false',
  parse: truth,
  help: 'Serve metrics beyond loopback in plaintext and to everybody.',
} as const satisfies Option;

export const CONFIG_FILE = {
  type: 'string',
  value: 'FILE',
  parse: absolutePath(),
  help: 'YAML file with any of these options; flags and variables win over it.',
} as const satisfies Option;
