/** What is allocated together: one number, or one block, for the one or two protocols of a group of requests. Pure. */
import { requestSize } from './pool.ts';
import type { PodRequest, PortRequest, Protocol } from './vocabulary.ts';

export interface Unit {
  readonly requests: readonly PortRequest[];
  readonly protocols: readonly Protocol[];
  readonly size: number;
  /** The first number, where the request names it. */
  readonly exact?: number;
}

/** The units of a request, in the order in which they were asked for. */
export function unitsOf(request: PodRequest): readonly Unit[] {
  const groups = new Map<string, PortRequest[]>();
  for (const one of request.requests) {
    const group = groups.get(one.group);
    if (group === undefined) groups.set(one.group, [one]);
    else group.push(one);
  }
  return [...groups.values()].map((requests) => {
    const [first] = requests as [PortRequest];
    return {
      requests,
      protocols: [...new Set(requests.map((one) => one.protocol))],
      size: requestSize(first),
      ...(first.target.kind === 'numbers' ? { exact: first.target.first } : {}),
    };
  });
}

/** The port in the pod that a host port leads to. */
export function containerPortOf(request: PortRequest, hostPort: number): number {
  return request.target.kind === 'port' ? request.target.port : hostPort;
}
