/** How the agents of a run with claims ask for them: answers come late, or not at all. */
import { BerthError } from '../../daemon/core/errors.ts';
import type { World } from '../../daemon/reconcile/ports.ts';
import type { AgentLife } from './agentlife.ts';
import { reached } from './stage.ts';

export function claimsOf(life: AgentLife): Pick<World, 'claims'> {
  const { stage } = life;
  const { random, time, weather, claims } = stage;
  if (claims === undefined) return {};
  const get = (namespace: string, name: string) => {
    const away = time.now < Math.max(weather.claimsDownUntil, weather.apiDownUntil);
    const slow = weather.rough && random.chance(0.03) ? random.between(1_000, 15_000) : random.between(1, 30);
    return life.call('source.get', `claim ${name}`, slow, random.between(0, 30), async () => {
      if (away || (weather.rough && random.chance(0.05))) {
        reached(stage, 'claims unreadable');
        throw new BerthError('API_UNREACHABLE', 'the API server does not answer');
      }
      return claims.statusOf(namespace, name);
    });
  };
  return { claims: { get } };
}
