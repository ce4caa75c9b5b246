/** The Events of an aggregator, written one after the other. */
import { hostname } from 'node:os';
import type { ApiClient } from './kube/api/client.ts';
import { EventWriter } from './kube/eventwriter.ts';
import type { Forbidden } from './kube/forbidden.ts';
import { systemClock } from './ops/clock.ts';

export function openEvents(client: ApiClient, forbidden: Forbidden, onError: (error: Error) => void): EventWriter {
  let busy = false;
  const work = async () => {
    if (busy) return;
    busy = true;
    while (writer.waiting) await writer.writeNext();
    busy = false;
  };
  const writer: EventWriter = new EventWriter({
    client,
    node: hostname(),
    clock: systemClock,
    random: Math.random,
    forbidden,
    onError,
    onWork: () => void work(),
  });
  return writer;
}
