/** How the agents of a run are tied to the cluster: most by quick doubles, some by their own client to an API server in memory. */
import type { AgentLife } from './agentlife.ts';
import { ApiLink } from './apilink.ts';
import { serverOf, wireOf } from './apiwire.ts';
import type { Link } from './link.ts';
import { NODE } from './objectshelf.ts';
import { QuickLink } from './quicklink.ts';
import { QuickShelf } from './shelf.ts';
import { View } from './view.ts';

export function tieTo(life: AgentLife): Link {
  const { api, time, watcher } = life.stage;
  const { shelf } = api;
  if (shelf instanceof QuickShelf) return new QuickLink(life, shelf);
  const view = new View(
    () => time.now,
    (uid) => watcher.numbers.gone(uid),
  );
  const decode = (object: object) => shelf.decoded(object);
  const transport = wireOf(life, { server: serverOf(life, shelf), decode, view });
  return new ApiLink(life, { node: NODE, view, transport });
}
