/** One agent as a process: how it ended and what it said. It is started by a `Site` and ends with it. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';

export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

export class AgentProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<Ending>;
  readonly #log: string;

  /** `log` is the file that its standard error goes to. */
  constructor(child: ChildProcess, log: string) {
    this.child = child;
    this.#log = log;
    this.ended = new Promise((resolve) => child.once('exit', (code, signal) => resolve({ code, signal })));
  }

  get pid(): number {
    return this.child.pid ?? 0;
  }

  get running(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** Everything that it said. */
  get log(): string {
    return readFileSync(this.#log, 'utf8');
  }

  /** The lines of its log that tell of this event, oldest first. */
  logged(event: string): readonly Readonly<Record<string, unknown>>[] {
    return this.log
      .split('\n')
      .filter((line) => line.startsWith('{') && line.endsWith('}'))
      .map((line): Record<string, unknown> => JSON.parse(line))
      .filter((line) => line.event === event);
  }

  /** `kill -9`, unless another signal is named. */
  async stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<Ending> {
    if (this.running) this.child.kill(signal);
    return await this.ended;
  }
}
