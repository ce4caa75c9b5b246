/** The ports that a pod declares, indexed for those who select among them. Pure; every look-up is constant time. */
import { isPortName } from './grammar.ts';
import { quoted } from './text.ts';
import type { ContainerPort, Protocol } from './vocabulary.ts';

/** How an unnamed port is called: `<number>-<proto>`, lower case. */
export function numberName(number: number, protocol: Protocol): string {
  return `${number}-${protocol.toLowerCase()}`;
}

/** The port has a `hostPort` in the spec: it is the kubelet's and the scheduler's, never Berth's. */
export function isStatic(port: ContainerPort): boolean {
  return port.hostPort !== undefined && port.hostPort > 0;
}

export class DeclaredPorts {
  /** Containers and native sidecars, in the order of the spec. */
  readonly all: readonly ContainerPort[];
  readonly #byName = new Map<string, ContainerPort[]>();
  readonly #byNumber = new Map<number, ContainerPort[]>();
  /** The first unmistakable name under which a number and protocol are declared without a static host port. */
  readonly #nameOf = new Map<string, string>();

  constructor(ports: readonly ContainerPort[]) {
    this.all = ports;
    for (const port of ports) {
      append(this.#byNumber, port.containerPort, port);
      if (port.name !== undefined) append(this.#byName, port.name, port);
    }
    for (const port of ports) {
      const number = numberName(port.containerPort, port.protocol);
      if (port.name === undefined || isStatic(port) || this.named(port.name).length > 1) continue;
      if (!this.#nameOf.has(number)) this.#nameOf.set(number, port.name);
    }
  }

  /** More than one when containers use the same name. */
  named(name: string): readonly ContainerPort[] {
    return this.#byName.get(name) ?? [];
  }

  numbered(number: number): readonly ContainerPort[] {
    return this.#byNumber.get(number) ?? [];
  }

  /**
   * The name of the request for this port: its own; for an unnamed port that is declared with a name as well, that name;
   * otherwise, and where several ports have its name, `<number>-<proto>`.
   */
  nameFor(port: ContainerPort): string {
    if (port.name !== undefined && this.named(port.name).length === 1) return port.name;
    const number = numberName(port.containerPort, port.protocol);
    return port.name === undefined ? (this.#nameOf.get(number) ?? number) : number;
  }

  /** The declared names, at most five, for a message. */
  names(): string {
    const names = [...this.#byName.keys()];
    if (names.length === 0) return 'it declares no names';
    return `it declares ${names.slice(0, 5).map(quoted).join(', ')}${names.length > 5 ? ' and more' : ''}`;
  }
}

/** The API server lets only such ports pass; other sources of pods may not have looked. */
export function isSound(port: ContainerPort): boolean {
  const { containerPort: number, name } = port;
  return Number.isInteger(number) && number >= 1 && number <= 65535 && (name === undefined || isPortName(name));
}

/** To the list under the key, which is made where there is none. */
export function append<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}
