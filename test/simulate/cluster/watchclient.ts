/** A client that watches one replica for ever, and knows of it what it was told: at times it reads nothing for a while. */
import { status } from '@grpc/grpc-js';
import { type berth, MappingService } from '../../../proto/service.ts';
import type { Replica } from './replica.ts';
import { type ClusterStage, note } from './stage.ts';

export interface Known {
  readonly port: number;
  readonly stale: boolean;
}

export interface WatchJudge {
  /** The client was told that the mapping is gone. */
  deleted(replica: Replica, node: string, pod: string, port: number): void;
}

const RETRY_MS = 1_000;

/** What stands before a message: gRPC's flag and its length. */
const HEAD_BYTES = 5;

export class WatchClient {
  readonly known = new Map<string, Known>();
  readonly replica: Replica;
  readonly #stage: ClusterStage;
  readonly #judge: WatchJudge;
  #revision = '';
  /** While the whole state comes in: what of it has come. */
  #seen: Set<string> | undefined;
  #blocked: (() => void) | undefined;
  #reads = true;
  #cancelled: () => void = () => {};
  synced = false;

  constructor(replica: Replica, stage: ClusterStage, judge: WatchJudge) {
    this.replica = replica;
    this.#stage = stage;
    this.#judge = judge;
  }

  start(): void {
    const { life } = this.replica;
    this.synced = false;
    if (life === undefined) {
      this.#again();
      return;
    }
    const { time, counts } = this.#stage;
    let over = false;
    const end = (code: status) => {
      if (over) return;
      over = true;
      note(this.#stage, `watch of ${this.replica.name} ended ${status[code]}`);
      if (code === status.RESOURCE_EXHAUSTED) counts.reached('watcher too slow');
      if (code === status.OUT_OF_RANGE) counts.reached('revision too old');
      if (code !== status.UNAVAILABLE) this.#revision = '';
      this.#again();
    };
    this.#seen = this.#revision === '' ? new Set() : undefined;
    const call = {
      request: { filter: {}, revision: this.#revision },
      cancelled: false,
      write: (bytes: Buffer, written: () => void) => {
        time.after(1, () => {
          if (over) return;
          if (!this.#reads) {
            this.#blocked = () => {
              if (over) return;
              this.#take(MappingService.watch.responseDeserialize(bytes.subarray(HEAD_BYTES)));
              written();
            };
            return;
          }
          this.#take(MappingService.watch.responseDeserialize(bytes.subarray(HEAD_BYTES)));
          written();
        });
      },
      emit: (_event: string, error: { code: status }) => time.after(0, () => end(error.code)),
      once: (_event: string, listener: () => void) => {
        this.#cancelled = listener;
      },
    };
    life.mappings.handlers.watch(call as never);
  }

  /** The connection is gone: of a replica that was killed. */
  lost(): void {
    this.#cancelled();
    this.synced = false;
    this.#again();
  }

  pause(): void {
    this.#reads = false;
    this.#stage.counts.reached('watcher reads nothing');
  }

  resume(): void {
    this.#reads = true;
    this.#blocked?.();
    this.#blocked = undefined;
  }

  #again(): void {
    this.#stage.time.after(RETRY_MS * (0.5 + this.#stage.random.next()), () => this.start());
  }

  #take({ changes, synced, revision }: berth.v1.WatchResponse.$Properties): void {
    for (const { set, deleted } of changes ?? []) {
      if (set) {
        const key = `${set.node}/${set.pod}`;
        this.known.set(key, { port: set.hostPort ?? 0, stale: set.stale ?? false });
        this.#seen?.add(key);
      }
      if (deleted) {
        this.known.delete(`${deleted.node}/${deleted.pod}`);
        this.#judge.deleted(this.replica, deleted.node ?? '', deleted.pod ?? '', deleted.hostPort ?? 0);
      }
    }
    if (synced) {
      for (const key of this.known.keys()) if (this.#seen !== undefined && !this.#seen.has(key)) this.known.delete(key);
      if (this.#seen === undefined) this.#stage.counts.reached('watcher resumed');
      this.#seen = undefined;
      this.synced = true;
    }
    this.#revision = revision ?? '';
  }
}
