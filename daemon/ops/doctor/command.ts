/** Commands that the doctor shows. People paste them into a root shell: no name may become more than one word of them. */

/** The command with every word quoted that needs it. */
export function command(...words: readonly (string | number)[]): string {
  return words.map((word) => shellWord(String(word))).join(' ');
}

function shellWord(text: string): string {
  if (/^[\w@%+=:,./-]+$/.test(text)) return text;
  return `'${text.replaceAll("'", "'\\''")}'`;
}
