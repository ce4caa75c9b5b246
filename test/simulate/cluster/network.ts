/** The network between agents and replicas: paths that break in one direction or both, and the streams that go over them. */
import { status } from '@grpc/grpc-js';
import type { Caller } from '../../../daemon/rpc/caller.ts';
import type { ReportStream, ReportStreamListener } from '../../../daemon/rpc/reportlink.ts';
import type { ReportCall } from '../../../daemon/rpc/reportservice.ts';
import { berth, ReportService } from '../../../proto/service.ts';
import { type ClusterStage, note } from './stage.ts';
import { Wire } from './wire.ts';

/** Between one machine and one replica. */
export interface Path {
  /** Messages to the replica pass, and those to the agent. */
  up: boolean;
  down: boolean;
  replicaReads: boolean;
  agentReads: boolean;
  /** The next delta to the replica is swallowed, replaced, or comes behind a message that nobody knows yet. */
  mischief: 'lose' | 'garbage' | 'newer' | undefined;
}

export interface Listener {
  readonly alive: boolean;
  accept(call: ReportCall, caller: Caller): void;
}

/** Both ends notice within 25 s that nothing comes back; some runs leave that out, as for a peer behind a proxy. */
const KEEPALIVE_MS = 5_000;
const KEEPALIVE_PATIENCE = 5;

export class Network {
  readonly #stage: ClusterStage;
  readonly #paths = new Map<string, Path>();
  readonly #streams = new Set<Stream>();
  readonly replicas = new Map<string, Listener>();
  readonly keepalive: boolean;
  /** When the last message of the machine reached the replica, by `machine>replica`. */
  readonly reached = new Map<string, number>();

  constructor(stage: ClusterStage, keepalive: boolean) {
    this.#stage = stage;
    this.keepalive = keepalive;
  }

  path(machine: string, replica: string): Path {
    const key = `${machine}>${replica}`;
    let path = this.#paths.get(key);
    if (path === undefined) {
      path = { up: true, down: true, replicaReads: true, agentReads: true, mischief: undefined };
      this.#paths.set(key, path);
    }
    return path;
  }

  healAll(): void {
    for (const path of this.#paths.values()) {
      Object.assign(path, { up: true, down: true, replicaReads: true, agentReads: true, mischief: undefined });
    }
    this.pump();
  }

  /** A path has changed. */
  pump(): void {
    for (const stream of this.#streams) stream.pump();
  }

  connect(machine: string, replica: string, listener: ReportStreamListener): ReportStream {
    const stream = new Stream(this.#stage, this, machine, replica, listener, () => this.#streams.delete(stream));
    this.#streams.add(stream);
    return stream;
  }

  /** The process ends; its kernel says so to the others, unless its machine is without power. */
  end(which: { readonly machine?: string; readonly replica?: string }, powerless = false): void {
    for (const stream of this.#streams) {
      if (which.machine !== undefined && stream.machine === which.machine) stream.agentGone(!powerless);
      if (which.replica !== undefined && stream.replica === which.replica) stream.replicaGone(!powerless);
    }
  }

  cut(machine: string, replica: string): boolean {
    let found = false;
    for (const stream of this.#streams) {
      if (stream.machine !== machine || stream.replica !== replica) continue;
      stream.cut();
      found = true;
    }
    return found;
  }
}

class Stream implements ReportStream {
  readonly machine: string;
  readonly replica: string;
  readonly #stage: ClusterStage;
  readonly #network: Network;
  readonly #listener: ReportStreamListener;
  readonly #onGone: () => void;
  readonly #up: Wire;
  readonly #down: Wire;
  readonly #events = new Map<string, ((argument?: unknown) => void)[]>();
  #agentOpen = true;
  #replicaOpen = false;
  /** The handshake was completed. */
  #arrived = false;
  #broken = 0;

  constructor(
    stage: ClusterStage,
    network: Network,
    machine: string,
    replica: string,
    listener: ReportStreamListener,
    onGone: () => void,
  ) {
    this.machine = machine;
    this.replica = replica;
    this.#stage = stage;
    this.#network = network;
    this.#listener = listener;
    this.#onGone = onGone;
    const path = network.path(machine, replica);
    this.#up = new Wire(
      stage,
      () => this.#arrived && path.up && path.replicaReads,
      (bytes) => this.#toReplica(bytes),
    );
    this.#down = new Wire(
      stage,
      () => path.down && path.agentReads,
      (bytes) => this.#toAgent(bytes),
    );
    stage.time.after(stage.random.between(0.5, 5), () => this.#arrive());
    stage.time.after(KEEPALIVE_MS, () => this.#probe());
  }

  write(message: berth.v1.ReportRequest.$Properties, written: () => void): void {
    this.#up.write(ReportService.report.requestSerialize(message), written);
  }

  cancel(): void {
    this.agentGone(true);
  }

  pump(): void {
    this.#up.pump();
    this.#down.pump();
  }

  cut(): void {
    this.#endAgent(status.UNAVAILABLE, 'the connection was reset');
    this.#endReplica();
  }

  agentGone(said: boolean): void {
    this.#agentOpen = false;
    this.#up.close();
    const { up } = this.#network.path(this.machine, this.replica);
    if (said && up) this.#stage.time.after(1, () => this.#endReplica());
    else if (!this.#replicaOpen) this.#onGone();
  }

  replicaGone(said: boolean): void {
    const { down } = this.#network.path(this.machine, this.replica);
    this.#replicaOpen = false;
    this.#down.close();
    if (said && down) this.#stage.time.after(1, () => this.#endAgent(status.UNAVAILABLE, 'the connection was closed'));
  }

  #arrive(): void {
    if (!this.#agentOpen) return;
    const path = this.#network.path(this.machine, this.replica);
    const replica = this.#network.replicas.get(this.replica);
    if (!path.up || !path.down) return;
    if (!replica?.alive) {
      this.#endAgent(status.UNAVAILABLE, 'connection refused');
      return;
    }
    this.#arrived = true;
    this.#replicaOpen = true;
    replica.accept(this.#call(), { kind: 'agent', node: this.machine.replace(/'+$/, '') });
    this.pump();
  }

  #call(): ReportCall {
    const stream = this;
    const on = (event: string, listener: (argument?: unknown) => void) => {
      this.#events.set(event, [...(this.#events.get(event) ?? []), listener]);
    };
    return {
      get cancelled() {
        return !stream.#replicaOpen;
      },
      write: (response, sent) => this.#down.write(ReportService.report.responseSerialize(response), sent),
      on: on as ReportCall['on'],
      emit: (_event, error) => {
        const { code = status.UNKNOWN, details = '' } = error as { code?: status; details?: string };
        this.#replicaOpen = false;
        const { down } = this.#network.path(this.machine, this.replica);
        // Lost with the path; the agent's next message is answered by a reset.
        if (down) this.#stage.time.after(1, () => this.#endAgent(code, details));
      },
      end: () => this.#endReplica(),
    };
  }

  #toReplica(given: Uint8Array): void {
    const path = this.#network.path(this.machine, this.replica);
    if (!this.#replicaOpen) {
      if (path.down) this.#endAgent(status.UNAVAILABLE, 'the connection was reset');
      return;
    }
    const { mischief } = path;
    let bytes = given;
    const message = ReportService.report.requestDeserialize(Buffer.from(given));
    // TCP loses nothing of a stream: what is tried is an agent that forgot a change, not half a snapshot.
    if (mischief !== undefined && message.delta) {
      path.mischief = undefined;
      const { counts } = this.#stage;
      note(this.#stage, `${this.machine}>${this.replica} ${mischief}`);
      if (mischief === 'lose') {
        counts.reached('delta lost');
        return;
      }
      counts.reached(mischief === 'garbage' ? 'garbage message' : 'message of a newer agent');
      if (mischief === 'garbage')
        bytes = berth.v1.ReportRequest.encode({ delta: { previous: 5, sequence: 1 } }).finish();
      // Field 99, a varint.
      else this.#emit('data', ReportService.report.requestDeserialize(Buffer.from([0x98, 0x06, 0x01])));
    }
    this.#network.reached.set(`${this.machine}>${this.replica}`, this.#stage.time.now);
    this.#emit('data', ReportService.report.requestDeserialize(Buffer.from(bytes)));
  }

  #toAgent(bytes: Uint8Array): void {
    if (this.#agentOpen) this.#listener.response(ReportService.report.responseDeserialize(Buffer.from(bytes)));
  }

  #probe(): void {
    if (!this.#agentOpen && !this.#replicaOpen) return;
    const { up, down } = this.#network.path(this.machine, this.replica);
    this.#broken = up && down ? 0 : this.#broken + 1;
    if (this.#broken >= KEEPALIVE_PATIENCE) {
      this.#endAgent(status.UNAVAILABLE, 'keepalive');
      if (this.#network.keepalive) this.#endReplica();
    }
    this.#stage.time.after(KEEPALIVE_MS, () => this.#probe());
  }

  #endAgent(code: status, details: string): void {
    if (!this.#agentOpen) return;
    this.#agentOpen = false;
    this.#up.close();
    if (!this.#replicaOpen) this.#onGone();
    this.#listener.ended(code, details);
  }

  #endReplica(): void {
    if (!this.#replicaOpen) return;
    this.#replicaOpen = false;
    this.#down.close();
    if (!this.#agentOpen) this.#onGone();
    this.#emit('cancelled');
  }

  #emit(event: string, argument?: unknown): void {
    for (const listener of this.#events.get(event) ?? []) listener(argument);
  }
}
