/**
 * Time that passes only from event to event. Events of the same moment run in the order in which they were made, so that a
 * run depends on nothing but its seed.
 */

interface Event {
  readonly at: number;
  readonly order: number;
  run: (() => void) | undefined;
}

/** 2026-01-01T00:00:00Z. */
const WALL_START = 1_767_225_600_000;

export class VirtualTime {
  /** Monotonic, in ms since the beginning of the run. */
  now = 0;
  /** How far the wall clock was put forward or back, in ms. */
  wallOffset = 0;
  /** A binary heap, the earliest event first. */
  readonly #events: Event[] = [];
  #order = 0;

  /** The wall clock, in ms since the epoch. */
  get wall(): number {
    return WALL_START + Math.floor(this.now) + this.wallOffset;
  }

  /** Calls back once after `ms`, unless the returned function was called before. */
  after(ms: number, run: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, ms), order: this.#order++, run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** Runs the next event. False when there is none until `end`; the clock stands at `end` then. */
  step(end: number): boolean {
    for (let event = this.#events[0]; event !== undefined && event.at <= end; event = this.#events[0]) {
      this.#pop();
      const { run } = event;
      if (run === undefined) continue;
      this.now = event.at;
      run();
      return true;
    }
    this.now = Math.max(this.now, end);
    return false;
  }

  #push(event: Event): void {
    const heap = this.#events;
    let index = heap.length;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (!isBefore(event, heap[parent] as Event)) break;
      heap[index] = heap[parent] as Event;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#events;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child++;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(one: Event, other: Event): boolean {
  return one.at < other.at || (one.at === other.at && one.order < other.order);
}
