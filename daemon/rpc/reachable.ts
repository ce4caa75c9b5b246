/** Where to connect, as one writes it. Pure. */
import type { MappingView } from './views.ts';

/** `192.0.2.7:23117`, `[2001:db8::7]:23117`, `192.0.2.7:40000-40099`. */
export function hostPort(host: string, ports: number | string): string {
  return host.includes(':') ? `[${host}]:${ports}` : `${host}:${ports}`;
}

/** `192.0.2.7:23117`, `[2001:db8::7]:23117`, `192.0.2.7:40000-40099`: where to connect, best first. */
export function addressesOf({ nodeAddresses, hostPort: first, endPort }: MappingView): string[] {
  const ports = portRange(first, endPort);
  const hosts = nodeAddresses.length === 0 ? ['<unknown>'] : nodeAddresses;
  return hosts.map((host) => hostPort(host, ports));
}

export function portRange(first: number, last: number): string {
  return first === last ? `${first}` : `${first}-${last}`;
}
