/** Holds 10,000 host ports as the agent does and tells what that took: the program of `sockets.ts`. */
import { SocketReserver } from '../../daemon/reserve/reserver.ts';

const PORTS = 10_000;
const FIRST = 20_000;

const reserver = new SocketReserver();
// Loads the library and compiles: the agent has done that long before.
for (let port = 1; port <= 2_000; port++) reserver.reserve({ protocol: 'TCP', port: 10_000 + port });
for (const reservation of reserver.held()) reserver.release(reservation);
globalThis.gc?.();
const before = process.memoryUsage.rss();
const start = performance.now();
for (let port = FIRST; port < FIRST + PORTS; port++) reserver.reserve({ protocol: 'TCP', port });
const ms = performance.now() - start;
globalThis.gc?.();
if (reserver.sockets !== PORTS) throw new Error(`only ${reserver.sockets} sockets`);
process.send?.({ ms, bytes: process.memoryUsage.rss() - before });
process.disconnect?.();
