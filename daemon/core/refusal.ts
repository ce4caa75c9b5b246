/** Why a declared port cannot be mapped. Pure; it judges one port among those of its pod, never the list that asks for it. */
import { type DeclaredPorts, isSound, isStatic, numberName } from './declared.ts';
import { type Fault, fault } from './fault.ts';
import { quoted } from './text.ts';
import type { ContainerPort } from './vocabulary.ts';

/** How a declared port is shown to people. */
export function labelOf(port: ContainerPort): string {
  return port.name ?? `${port.containerPort}/${port.protocol.toLowerCase()}`;
}

/**
 * What forbids to map the port: it is unsound, static, or (only when `byName`) shares its name with another. `text` is
 * what asked for it.
 */
export function portFault(
  declared: DeclaredPorts,
  port: ContainerPort,
  text: string,
  byName: boolean,
): Fault | undefined {
  if (!isSound(port)) {
    const what = `is port ${quoted(labelOf(port))} of container ${quoted(port.container)}, which Kubernetes would refuse`;
    return fault(text, what, 'give it a number from 1 to 65535 and a name of at most 15 of a-z, 0-9 and -');
  }
  const [one, other] = byName && port.name !== undefined ? declared.named(port.name) : [];
  if (one !== undefined && other !== undefined) {
    const where = `containers ${quoted(one.container)} and ${quoted(other.container)}`;
    return fault(
      text,
      `has the name ${quoted(labelOf(port))}, which ${where} both declare`,
      'rename one of the two ports',
    );
  }
  if (isStatic(port)) {
    const what = `has the static hostPort ${port.hostPort} in container ${quoted(port.container)}`;
    return fault(text, what, "take it out of the list, or remove the hostPort from the pod's spec");
  }
  return undefined;
}

/** A name made from a number must not be another port's name: both would have one key `port.berth.dev/<name>`. */
export function nameFault(declared: DeclaredPorts, port: ContainerPort, text: string): Fault | undefined {
  const name = declared.nameFor(port);
  const isMade = name === numberName(port.containerPort, port.protocol) && name !== port.name;
  if (!isMade || declared.named(name).length === 0) return undefined;
  return fault(text, `would be called ${name}, the name of another port`, 'give it a name, or rename the other port');
}
