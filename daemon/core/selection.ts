/**
 * Which port requests a pod's annotations make of its declared ports. Pure and total; it must never make a request that
 * neither the list nor a declaration names.
 */
import { append, type DeclaredPorts, isStatic, numberName } from './declared.ts';
import { type Fault, fault, within } from './fault.ts';
import { ITEM_FORMS, type Item, parseItem } from './grammar.ts';
import { itemFault, type ListItem, splitList, trim } from './list.ts';
import { labelOf, nameFault, portFault } from './refusal.ts';
import { quoted } from './text.ts';
import type { ContainerPort, PortRequest, Protocol } from './vocabulary.ts';

interface Owner {
  /** The item of the list, 0 for a declared port that no item names. */
  readonly item: number;
  /** The name was given by `name=…`. */
  readonly own: boolean;
}

interface ExactBlock {
  readonly item: number;
  readonly first: number;
  readonly last: number;
  readonly protocols: readonly Protocol[];
}

/** Grows by each `select…`, in the order of the calls; after a fault it is of no more use. */
export class Selection {
  readonly #declared: DeclaredPorts;
  readonly #requests: PortRequest[] = [];
  /** By request name. */
  readonly #owners = new Map<string, Owner>();
  /** How often a container port and protocol was requested. */
  readonly #uses = new Map<string, number>();
  readonly #exact: ExactBlock[] = [];
  /** By claim and protocol: the name of the port that has it. */
  readonly #claimed = new Map<string, string>();
  /** By name, of so many requests as `#indexed` says: their indices. */
  readonly #places = new Map<string, number[]>();
  #indexed = 0;

  constructor(declared: DeclaredPorts) {
    this.#declared = declared;
  }

  get requests(): readonly PortRequest[] {
    return this.#requests;
  }

  /** The value of `berth.dev/ports`; a blank one selects every declared port without a static host port. */
  selectListed(value: string): Fault | undefined {
    if (trim(value).text === '') return this.#selectDeclared(this.#declared.all, true);
    for (const item of splitList(value)) {
      const mistake = itemFault(item) ?? this.#selectItem(item);
      if (mistake !== undefined) return mistake;
    }
    return undefined;
  }

  /** What Galaxy maps: the ports of containers, not of sidecars; what was selected before is not selected again. */
  selectContainers(): Fault | undefined {
    const ports = this.#declared.all.filter((port) => !port.sidecar);
    // Galaxy knew no names, so that pods may use one name in two containers: they are told apart by their numbers.
    return this.#selectDeclared(ports, false);
  }

  /**
   * The port of this name gets the number of a claim: one that was selected, or a declared one that now is. To be called when all
   * that is selected without a claim has been.
   */
  claim(name: string, claim: string): Fault | undefined {
    const mistake = this.#owners.has(name) ? undefined : this.#selectClaimed(name);
    if (mistake !== undefined) return mistake;
    for (const index of this.#indexOf(name)) {
      const request = this.#requests[index] as PortRequest;
      const wrong = this.#claimFault(request, claim);
      if (wrong !== undefined) return wrong;
      this.#claimed.set(`${claim}/${request.protocol}`, name);
      // One number for all ports of a claim, whatever else has the container port of one of them.
      this.#requests[index] = { ...request, group: `claim ${claim}`, claim };
    }
    return undefined;
  }

  #selectClaimed(name: string): Fault | undefined {
    const [port] = this.#declared.named(name);
    if (port === undefined) {
      const why = `is not the name of a port of this pod (${this.#declared.names()})`;
      return fault(name, why, 'name a declared port behind the / of the key, or one that berth.dev/ports asks for');
    }
    const mistake = portFault(this.#declared, port, name, true);
    if (mistake === undefined) this.#request(name, port.containerPort, port.protocol, 0);
    return mistake;
  }

  #claimFault({ name, protocol, target, claim: before }: PortRequest, claim: string): Fault | undefined {
    if (target.kind === 'block' || target.kind === 'numbers') {
      return fault(name, 'is a block of numbers, and a claim has one', `claim a single port, or write ${name}=same`);
    }
    if (before !== undefined) {
      return fault(name, `is claimed twice, by ${quoted(before)} too`, 'remove one of the two annotations');
    }
    const other = this.#claimed.get(`${claim}/${protocol}`);
    if (other === undefined) return undefined;
    const what = `has one ${protocol} port, which port ${quoted(other)} has already`;
    return fault(claim, what, 'make a claim for each of the two ports');
  }

  /** Where the requests of each name stand; claimed ones keep their places. */
  #indexOf(name: string): readonly number[] {
    for (let index = this.#indexed; index < this.#requests.length; index++)
      append(this.#places, (this.#requests[index] as PortRequest).name, index);
    this.#indexed = this.#requests.length;
    return this.#places.get(name) ?? [];
  }

  #selectDeclared(ports: readonly ContainerPort[], byName: boolean): Fault | undefined {
    for (const port of ports) {
      if (isStatic(port)) continue;
      const name = this.#declared.nameFor(port);
      const mistake =
        portFault(this.#declared, port, labelOf(port), byName) ?? nameFault(this.#declared, port, labelOf(port));
      if (mistake !== undefined) return mistake;
      const owner = this.#owners.get(name);
      if (owner?.own) {
        return fault(name, `is a name in item ${owner.item} of berth.dev/ports too`, 'choose another one');
      }
      if (owner === undefined) this.#request(name, port.containerPort, port.protocol, 0);
    }
    return undefined;
  }

  #selectItem(item: ListItem): Fault | undefined {
    const parsed = parseItem(item.text);
    const mistake = parsed.kind === 'fault' ? parsed : this.#select(parsed, item);
    return mistake && within(mistake, item);
  }

  #select(parsed: Item, item: ListItem): Fault | undefined {
    if (parsed.kind === 'own') return this.#selectOwn(parsed, item);
    if (parsed.kind === 'number') return this.#selectNumber(parsed, item);
    const [port] = this.#declared.named(parsed.name);
    if (port !== undefined) return this.#selectPort(port, item);
    const why = `is not the name of a port of this pod (${this.#declared.names()})`;
    return fault(item.text, why, `write ${ITEM_FORMS}`);
  }

  #selectNumber(parsed: Item & { readonly kind: 'number' }, item: ListItem): Fault | undefined {
    const { number } = parsed;
    const declared = this.#declared.numbered(number);
    const declaredProtocols = new Set(declared.map((port) => port.protocol));
    for (const protocol of parsed.protocols ?? (declared.length > 0 ? declaredProtocols : (['TCP'] as const))) {
      const ports = declared.filter((port) => port.protocol === protocol);
      const free = ports.filter((port) => !isStatic(port));
      // With nothing but static ones the first of them makes the fault.
      const chosen = distinct(free.length > 0 ? free : ports.slice(0, 1), (port) => this.#declared.nameFor(port));
      const undeclared = { container: '', sidecar: false, containerPort: number, protocol };
      for (const port of chosen.length > 0 ? chosen : [undeclared]) {
        const mistake = this.#selectPort(port, item);
        if (mistake !== undefined) return mistake;
      }
    }
    return undefined;
  }

  #selectPort(port: ContainerPort, item: ListItem): Fault | undefined {
    const name = this.#declared.nameFor(port);
    const mistake =
      portFault(this.#declared, port, item.text, true) ??
      nameFault(this.#declared, port, item.text) ??
      this.#ownerFault(name, item);
    if (mistake === undefined) this.#request(name, port.containerPort, port.protocol, item.number);
    return mistake;
  }

  #selectOwn({ name, target, protocols }: Item & { readonly kind: 'own' }, item: ListItem): Fault | undefined {
    if (this.#declared.named(name).length > 0) {
      return fault(name, 'is the name of a port that the pod declares', `write ${name} alone, or choose another name`);
    }
    const mistake =
      this.#ownerFault(name, item) ?? (target.kind === 'numbers' ? this.#overlap(target, protocols, item) : undefined);
    if (mistake !== undefined) return mistake;
    this.#owners.set(name, { item: item.number, own: true });
    // One group for all protocols: `port.berth.dev/<name>` has room for one number.
    for (const protocol of protocols) this.#requests.push({ name, protocol, target, group: name });
    return undefined;
  }

  #overlap(
    target: { readonly first: number; readonly last: number },
    protocols: readonly Protocol[],
    item: ListItem,
  ): Fault | undefined {
    const { first, last } = target;
    const other = this.#exact.find(
      (block) => first <= block.last && block.first <= last && block.protocols.some((one) => protocols.includes(one)),
    );
    if (other !== undefined) {
      return fault(item.text, `overlaps the block of item ${other.item}`, 'choose other numbers');
    }
    this.#exact.push({ item: item.number, first, last, protocols });
    return undefined;
  }

  #ownerFault(name: string, item: ListItem): Fault | undefined {
    const owner = this.#owners.get(name);
    if (owner === undefined) return undefined;
    return fault(item.text, `asks for ${name}, as item ${owner.item} does`, 'remove one, or join protocols by +');
  }

  #request(name: string, port: number, protocol: Protocol, item: number): void {
    this.#owners.set(name, { item, own: false });
    this.#requests.push({ name, protocol, target: { kind: 'port', port }, group: this.#group(port, protocol) });
  }

  /** TCP and UDP share a number, the first with the first, the second (under another name) with the second. */
  #group(port: number, protocol: Protocol): string {
    const key = numberName(port, protocol);
    const uses = (this.#uses.get(key) ?? 0) + 1;
    this.#uses.set(key, uses);
    return `${port}${protocol === 'SCTP' ? '/sctp' : ''}${uses > 1 ? `#${uses}` : ''}`;
  }
}

/** The first of those that have the same key. */
function distinct<T>(values: readonly T[], keyOf: (value: T) => string): T[] {
  const byKey = new Map<string, T>();
  for (const value of values) if (!byKey.has(keyOf(value))) byKey.set(keyOf(value), value);
  return [...byKey.values()];
}
