/** What is wrong with a kubeconfig, without the secrets in it: readers of YAML show the lines around what they cannot read. Pure. */
import { BerthError, messageOf } from '../core/errors.ts';
import { printable } from '../core/text.ts';

const MAX_HEADLINE = 256;

/** With the first line of the message, and without the error itself as its cause, of which a log might tell the rest. `path` undefined: that of kubectl. */
export function unusableKubeconfig(path: string | undefined, error: unknown): BerthError {
  const where = path === undefined ? 'the kubeconfig (KUBECONFIG, ~/.kube/config)' : `the kubeconfig ${path}`;
  const [headline = ''] = messageOf(error).split('\n');
  return new BerthError('CONFIG_INVALID', `${where} cannot be used: ${printable(headline, MAX_HEADLINE)}`);
}
