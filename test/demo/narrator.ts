/** Tells the demonstration on the terminal: numbered steps, the commands as a person would type them, what was seen, what must hold. */
const COLOUR = process.stdout.isTTY && process.env.NO_COLOR === undefined;
const paint = (code: number, text: string) => (COLOUR ? `\u001b[${code}m${text}\u001b[0m` : text);

export class Narrator {
  #steps = 0;
  #held = 0;

  get held(): number {
    return this.#held;
  }

  step(title: string): void {
    console.log(`\n${paint(1, `${++this.#steps}. ${title}`)}`);
  }

  say(text: string): void {
    console.log(`   ${text}`);
  }

  command(text: string): void {
    console.log(`   ${paint(36, `$ ${text}`)}`);
  }

  output(text: string): void {
    for (const line of text.trimEnd().split('\n')) console.log(`   ${line}`);
  }

  /** Throws when the condition does not hold: the demonstration ends there, with an exit code other than 0. */
  holds(condition: boolean, what: string, seen: string): void {
    if (!condition) throw new Error(`${what}: ${seen}`);
    this.#held++;
    console.log(`   ${paint(32, '✔')} ${what}`);
  }
}
