/** Text as a word of a shell. Pure. */

/** In single quotes, for bash and zsh. */
export function single(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** In single quotes, for fish, where a backslash escapes in them. */
export function fishSingle(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
