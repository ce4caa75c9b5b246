/** Whom a caller pretends to be at the API server: what a kubeconfig says of its user, what flags say, and the headers of it. Pure. */
import { BerthError } from '../../core/errors.ts';
import { quoted } from '../../core/text.ts';

/** Empty where nothing is said. */
export interface Impersonation {
  readonly user: string;
  readonly uid: string;
  readonly groups: readonly string[];
  /** Of each key the values. */
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

/** `as`, `as-uid`, `as-groups` and `as-user-extra` of a user of a kubeconfig. Throws CONFIG_INVALID. */
export function impersonationOf(user: unknown): Impersonation {
  const said = mappingOf('user', user);
  return {
    user: textOf('as', said.as ?? ''),
    uid: textOf('as-uid', said['as-uid'] ?? ''),
    groups: textsOf('as-groups', said['as-groups']),
    extra: Object.fromEntries(
      Object.entries(mappingOf('as-user-extra', said['as-user-extra'])).map(([key, values]) => [
        key,
        textsOf(`as-user-extra ${quoted(key)}`, values),
      ]),
    ),
  };
}

/** As kubectl does it: what is said later counts in place of what was said before, of `extra` key by key. Throws CONFIG_INVALID. */
export function impersonate(before: Impersonation | undefined, later: Impersonation): Impersonation {
  const one = {
    user: later.user || (before?.user ?? ''),
    uid: later.uid || (before?.uid ?? ''),
    groups: later.groups.length > 0 ? later.groups : (before?.groups ?? []),
    extra: { ...before?.extra, ...later.extra },
  };
  const more = one.uid !== '' || one.groups.length > 0 || Object.keys(one.extra).length > 0;
  if (one.user !== '' || !more) return one;
  const what = 'a uid, groups or extras are pretended without a user: whose are they?';
  throw new BerthError('CONFIG_INVALID', `${what} Give --as, or "as" beside them in the kubeconfig`);
}

/** For Node's client, which sends an array as one header for each value: the API server takes no list of them in one. */
export function headersOf({ user, uid, groups, extra }: Impersonation): Readonly<Record<string, string | string[]>> {
  if (user === '') return {};
  return {
    'Impersonate-User': utf8(user),
    ...(uid === '' ? {} : { 'Impersonate-Uid': utf8(uid) }),
    ...(groups.length === 0 ? {} : { 'Impersonate-Group': groups.map(utf8) }),
    ...Object.fromEntries(
      Object.entries(extra).map(([key, values]) => [`Impersonate-Extra-${headerName(key)}`, values.map(utf8)]),
    ),
  };
}

/** Node writes a header as Latin-1, and the API server reads UTF-8. */
function utf8(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** In a name everything but the characters of a token (RFC 9110, section 5.6.2) as %XX, and % itself, which the API server undoes. */
function headerName(key: string): string {
  return [...Buffer.from(key, 'utf8')]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[A-Za-z0-9!#$&'*+.^_`|~-]/.test(character)
        ? character
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
    })
    .join('');
}

function mappingOf(key: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof (value ?? {}) === 'object' && !Array.isArray(value)) return { ...(value as object | null | undefined) };
  throw invalid(key, 'a mapping');
}

function textsOf(key: string, values: unknown): readonly string[] {
  if (!Array.isArray(values ?? [])) throw invalid(key, 'a list of texts');
  return ((values ?? []) as readonly unknown[]).map((value) => textOf(key, value));
}

function textOf(key: string, value: unknown): string {
  if (typeof value === 'string') return value;
  throw invalid(key, 'a text: put it in quotes');
}

/** To pass it over would be to ask with more rights than was meant. */
function invalid(key: string, what: string): BerthError {
  return new BerthError('CONFIG_INVALID', `${key} of a user must be ${what}`);
}
