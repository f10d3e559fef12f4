import type { Database } from '../../stores/database.ts';
import type { NewMemory } from '../../stores/memories.ts';

export async function everyAgentId(db: Database): Promise<string[]> {
  const rows = await db.selectFrom('agents').select('id').orderBy('id').execute();
  return rows.map(({ id }) => id);
}

/** Memories an agent can draw insights from, each one once: `first` numbers the first of them. */
export function plainMemories(agentIds: readonly string[], count: number, first = 1): NewMemory[] {
  return agentIds.flatMap((agentId) =>
    Array.from({ length: count }, (_, i) => ({
      agentId,
      externalKey: `plain-${first + i}`,
      kind: 'observation' as const,
      text: `On day ${first + i} ${agentId} counted ${(first + i) * 3} boats at the pier.`,
      importance: ((first + i) % 9) + 1,
      source: 'test',
      occurredAt: new Date(Date.UTC(2026, 0, first + i)).toISOString(),
    })),
  );
}
