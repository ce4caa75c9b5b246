/** A client: so many connections to one place, eight at a time, each to be answered by a letter. Tells how many failed, and why. */
import { once } from 'node:events';
import { connect } from 'node:net';

const AT_ONCE = 8;
const TIMEOUT_MS = 3_000;

const [host = '', port = '', count = ''] = process.argv.slice(2);
let left = Number(count);
const failures: string[] = [];
const letters: Record<string, number> = {};

async function dial(): Promise<void> {
  const socket = connect({ host, port: Number(port) });
  socket.setTimeout(TIMEOUT_MS, () => socket.destroy(new Error('timed out')));
  try {
    const [letter] = await once(socket, 'data');
    letters[String(letter)] = (letters[String(letter)] ?? 0) + 1;
  } catch (error) {
    failures.push(error instanceof Error ? error.message : String(error));
  } finally {
    socket.on('error', () => {});
    socket.destroy();
  }
}

async function work(): Promise<void> {
  while (left-- > 0) await dial();
}

await Promise.all(Array.from({ length: AT_ONCE }, work));
process.send?.({ failures: failures.slice(0, 10), failed: failures.length, letters });
process.disconnect?.();
