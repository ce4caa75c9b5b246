/**
 * The commands by which a user looks at one pod, or changes what it asks for: `kubectl` where the pods are those of a cluster,
 * and the files where they come from a directory. Pure.
 */
import type { Pod } from '../../core/vocabulary.ts';
import { command } from './command.ts';
import type { PodFacts, PodPlace } from './facts.ts';

type Placed = Pick<PodFacts, 'pod' | 'place'>;

/** What the pod is, and what the cluster knows about it. */
export function showPod({ pod, place }: Placed): string {
  return place.kind === 'cluster' ? kubectl('get', pod, '--output', 'wide') : showManifest(place);
}

/** The annotations of the pod. */
export function showRequest({ pod, place }: Placed): string {
  if (place.kind === 'directory') return showManifest(place);
  return kubectl('get', pod, '--output', 'jsonpath={.metadata.annotations}');
}

/** Sets one annotation, `key=value`. A manifest is changed by its owner: its file is shown. */
export function annotate({ pod, place }: Placed, annotation: string): string {
  return place.kind === 'cluster' ? kubectl('annotate', pod, '--overwrite', annotation) : showManifest(place);
}

/** What the agent told the pod: condition and Events. */
export function showTold({ pod, place }: Placed): string {
  if (place.kind === 'cluster') return kubectl('describe', pod);
  return place.status === undefined ? showManifest(place) : command('cat', place.status);
}

function showManifest({ directory, manifest }: PodPlace & { readonly kind: 'directory' }): string {
  return manifest === undefined ? command('ls', '-l', directory) : command('cat', manifest);
}

function kubectl(verb: string, { namespace, name }: Pod, ...more: readonly string[]): string {
  return command('kubectl', verb, 'pod', '--namespace', namespace, name, ...more);
}
