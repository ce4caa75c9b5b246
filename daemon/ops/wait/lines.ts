/** What `berth wait` prints: lines that a shell can source. Pure. */

/** `PORT_` or such in front: a port may be called `path`, and a shell that sources the lines needs its own. */
export function linesOf(entries: readonly (readonly [prefix: string, port: string, value: string])[]): string {
  const lines = entries.map(
    ([prefix, port, value]) => `${prefix}_${port.toUpperCase().replaceAll('-', '_')}=${value}\n`,
  );
  return lines.join('');
}
