import type { ApiClient } from '../../deploy/embedded/api-client.ts';
import { worldMemories } from '../../domain/world.ts';

/** So many days more in the life of every agent: a cycle after others has nothing to reflect on without them. */
export async function liveOn(api: ApiClient, { seed, days }: { seed: number; days: number }): Promise<void> {
  const agents = await api.all<{ id: string; name: string; archetype: string }>('/agents');
  const town = agents.map(({ id, name, archetype }) => ({ id, name, archetypeId: archetype, traits: ['patient'] }));
  const endsAt = new Date().toISOString();
  const { refused } = await api.postLines<{ refused: number }>(
    '/memories',
    worldMemories(town, { seed, days, endsAt }),
  );
  if (refused > 0) throw new Error(`${refused} memories were refused`);
}
