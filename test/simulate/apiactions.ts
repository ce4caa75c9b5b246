/** What happens to the API server and to the connections to it, in the runs whose agents talk to one. */
import type { WatchDouble } from '../../daemon/kube/api/watch.double.ts';
import { ApiLink } from './apilink.ts';
import type { Director } from './director.ts';
import { ObjectShelf } from './objectshelf.ts';
import { type Action, createPod } from './podactions.ts';
import { reached } from './stage.ts';

const HOUR = 3_600_000;
/** How often a watch is told that nothing has changed (bookmarkFrequency of the watch cache). */
const BOOKMARK_MS = 60_000;

function watchesOf({ life }: Director): readonly WatchDouble[] {
  return life?.link instanceof ApiLink ? [...life.link.transport.watches] : [];
}

function breakAll(director: Director): void {
  for (const watch of watchesOf(director)) {
    reached(director.stage, 'watch broken');
    watch.break();
  }
}

function goAway(director: Director): void {
  const { random, weather, time } = director.stage;
  const hour = random.chance(0.1);
  if (hour) reached(director.stage, 'API server away for an hour');
  weather.apiDownUntil = time.now + (hour ? HOUR : random.between(500, 60_000));
  breakAll(director);
}

function endWatch(director: Director): void {
  for (const watch of watchesOf(director)) {
    reached(director.stage, 'watch ended');
    watch.end();
  }
}

/** Nobody says that it is dead. */
function halfOpen(director: Director): void {
  for (const watch of watchesOf(director)) {
    reached(director.stage, 'watch half-open');
    watch.silent = true;
  }
}

function garble(director: Director): void {
  const { stage } = director;
  for (const watch of watchesOf(director)) {
    const half = stage.random.chance(0.5);
    reached(stage, half ? 'half a line in the watch' : 'garbage in the watch');
    watch.babble(half ? '{"type":"DELETED","object":{"kind":"Pod","metadata":{"na' : '<html>502 Bad Gateway</html>\n');
    if (half) watch.end();
  }
}

function repeat(director: Director): void {
  for (const watch of watchesOf(director)) if (watch.repeat()) reached(director.stage, 'event repeated by the watch');
}

/** Changes that no watch tells any more: it breaks, cannot be opened for a while, and then its revision is no longer kept. */
function compact(director: Director): void {
  const { stage } = director;
  const { random, weather, time, api } = stage;
  if (!(api.shelf instanceof ObjectShelf)) return;
  const { server } = api.shelf;
  const from = server.store.revision;
  breakAll(director);
  const ms = random.between(10, 10_000);
  weather.watchesDownUntil = time.now + ms;
  if (random.chance(0.5)) time.after(random.between(0, ms), () => createPod(director));
  time.after(ms, () => {
    if (server.store.revision > from) reached(stage, 'changes missed by the watch');
    // Other objects change too, and have their revisions of the same numbers.
    server.store.revision += random.integer(1, 1_000);
    server.store.compact();
  });
}

/** The server that is asked for a list instead has not come as far as the watch had. */
function compactBehind(director: Director): void {
  const { random, time } = director.stage;
  lagBehind(director);
  createPod(director);
  time.after(random.between(200, 3_000), () => compact(director));
}

/** The watch cache of the server that lists does not go on. */
function lagBehind(director: Director): void {
  const { random, time, api } = director.stage;
  if (!(api.shelf instanceof ObjectShelf)) return;
  const { server } = api.shelf;
  const old = { items: [...server.store.pods.values()], revision: server.store.revision };
  server.resources.oldList = old;
  const ms = random.between(500, 30_000);
  time.after(ms, () => {
    if (server.resources.oldList === old) server.resources.oldList = undefined;
  });
  // The first list of an agent may be an old one.
  if (random.chance(0.4)) time.after(random.between(0, ms), () => director.life?.kill('while the list is old'));
}

function forbid({ stage }: Director): void {
  const { random, weather, time } = stage;
  const until = time.now + random.between(1_000, 90_000);
  if (random.chance(0.5)) weather.patchesForbiddenUntil = until;
  else weather.eventsForbiddenUntil = until;
}

function refuseToken(director: Director): void {
  const { random, weather, time } = director.stage;
  weather.tokenRefusedUntil = time.now + random.between(500, 40_000);
  if (random.chance(0.5)) breakAll(director);
}

/** A pod whose annotations are refused: others have filled their 256 KiB. */
function fillUp({ stage }: Director): void {
  const { random, api, weather } = stage;
  if (api.pods.length > 0) weather.unpatchable.add(random.pick(api.pods).uid);
}

/** Once a minute as long as the run goes on. */
export function startBookmarks(director: Director): void {
  const { time, api } = director.stage;
  if (!(api.shelf instanceof ObjectShelf)) return;
  const { server } = api.shelf;
  const tell = () => {
    if (time.now >= director.stage.weather.apiDownUntil) server.bookmark();
    time.after(BOOKMARK_MS, tell);
  };
  time.after(BOOKMARK_MS, tell);
}

export const API_ACTIONS: readonly (readonly [number, Action])[] = [
  [1.5, goAway],
  [2, breakAll],
  [1, endWatch],
  [1, halfOpen],
  [2, garble],
  [1.5, repeat],
  [2.5, compact],
  [1, compactBehind],
  [2, lagBehind],
  [1.5, forbid],
  [1.5, refuseToken],
  [0.7, fillUp],
];

/** Everything that these have changed is as it should be, but for what the agent has to find out itself. */
export function calmApi({ stage, life }: Director): void {
  const { api, weather } = stage;
  if (!(api.shelf instanceof ObjectShelf)) return;
  api.shelf.server.resources.oldList = undefined;
  // What was refused as invalid is written again by the next agent, or when there is something else to write.
  if (weather.unpatchable.size > 0) life?.kill('to try again what was refused');
  weather.unpatchable.clear();
}
