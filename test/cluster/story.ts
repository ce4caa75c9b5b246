/** The set-up of a test file about an agent that is installed. */
import test from 'ava';
import { logState, makeNamespace } from './cluster.ts';
import { type Amend, install } from './install.ts';
import { HAS_NODES } from './lab.ts';

/** Skipped on a cluster of somebody else's: these tests need machines of their own. */
export const story = HAS_NODES ? test : test.skip;

/** Has a failed test of this file log what a person would look at first. */
export function logFailures(): void {
  test.afterEach.always(async (t) => {
    if (!t.passed) await logState(t);
  });
}

/** Has the agent installed, and a namespace of this name there, when the tests of this file run. Gives the name. */
export function withAgent(namespace: string, amend?: Amend): string {
  const cleanup = new AsyncDisposableStack();
  test.before(async () => {
    if (!HAS_NODES) return;
    await install(amend);
    cleanup.use(await makeNamespace(namespace));
  });
  logFailures();
  test.after.always(() => cleanup.disposeAsync());
  return namespace;
}
