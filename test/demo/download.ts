/** The download that a pod of the demonstration serves, and what the client must get of it. */

export const CHUNKS = 160;

/** The pod's name again and again, from its beginning in each chunk. */
export function chunkOf(pod: string): Buffer {
  return Buffer.alloc(64 * 1024, pod);
}

export function downloadOf(pod: string): Buffer {
  return Buffer.concat(Array.from({ length: CHUNKS }, () => chunkOf(pod)));
}
