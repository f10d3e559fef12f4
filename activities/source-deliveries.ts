import { isDomainError } from '../domain/errors.ts';
import { type Source, sourceMemoryKey } from '../domain/sources.ts';
import type { MemoryStore, NewMemory } from '../stores/memories.ts';
import type { PendingItem, SourceItemStore } from '../stores/source-items.ts';
import type { FleetReader } from './fleet-view.ts';
import { sourceOf } from './sources.ts';

/** Agents of one transaction, and memories of one call: it ends well within its time. */
const agentsAtOnce = 500;
const memoriesAtOnce = 1_000;
const itemsAtOnce = 100;

export interface SourceDeliveryDeps {
  sourceItems: SourceItemStore;
  memories: MemoryStore;
  fleet: FleetReader;
}

export function createSourceDeliveryActivities({ sourceItems, memories, fleet }: SourceDeliveryDeps) {
  return {
    /**
     * Gives what was read to the agents of the source, oldest first, up to about a thousand memories a call. Each memory
     * has its key from source, item and version: whatever is done twice is there once. What a source is told to whisper is
     * asked for where the last agent has it.
     */
    async deliverSourceItems({ sourceId }: { sourceId: string }): Promise<{ given: number; left: boolean }> {
      const { fleet: wanted, ownerId } = await fleet();
      const source = sourceOf(wanted, sourceId);
      if (source === undefined) return { given: 0, left: false };
      const pending = await sourceItems.pending({ ownerId, sourceId }, itemsAtOnce);
      const from = { ownerId, source, spawning: wanted.spawning };
      let given = 0;
      for (const first of pending) {
        let item = first;
        for (let done = false; !done; ) {
          if (given >= memoriesAtOnce) return { given, left: true };
          const agentIds = await sourceItems.boundAgents(ownerId, source, item, agentsAtOnce);
          given += await give(ownerId, source, item, agentIds);
          done = agentIds.length < agentsAtOnce;
          const to = agentIds.at(-1) ?? item.deliveredTo;
          // Somebody else gives it too, or it has changed meanwhile: what is left is looked up anew.
          const progress = { to, agents: agentIds.length, done };
          if (!(await sourceItems.delivered(from, item, progress))) return { given, left: true };
          item = { ...item, deliveredTo: to };
        }
      }
      return { given, left: pending.length === itemsAtOnce };
    },
  };

  async function give(
    ownerId: string,
    source: Source,
    item: PendingItem,
    agentIds: readonly string[],
  ): Promise<number> {
    const memory = (agentId: string): NewMemory => ({
      agentId,
      externalKey: sourceMemoryKey(source.id, item.itemHash, item.version),
      kind: 'observation',
      text: item.text,
      importance: item.importance ?? source.importance,
      source: `${source.kind}:${source.id}`,
      occurredAt: item.occurredAt,
    });
    if (item.version === 1) {
      await memories.add(ownerId, agentIds.map(memory));
      return agentIds.length;
    }
    const keys = Array.from({ length: item.version - 1 }, (_, i) =>
      sourceMemoryKey(source.id, item.itemHash, i + 1),
    ).slice(Math.max(0, item.deliveredVersion - 1));
    const earlier = await sourceItems.earlier(ownerId, agentIds, keys);
    for (const { id, agentId, occurredAt } of earlier) {
      const { agentId: _agent, kind: _kind, ...successor } = memory(agentId);
      // What took its place cannot have begun before it.
      const from = occurredAt > item.occurredAt ? occurredAt : item.occurredAt;
      try {
        await memories.supersede(ownerId, id, { ...successor, occurredAt: from });
      } catch (err) {
        // Deleted or superseded by somebody just now: theirs is the last word.
        if (!isDomainError(err, 'CONFLICT')) throw err;
      }
    }
    // Who does not remember the earlier one, of which all were told, has lost it on purpose or came later.
    if (item.deliveredVersion === 0) {
      const told = new Set(earlier.map(({ agentId }) => agentId));
      await memories.add(ownerId, agentIds.filter((agentId) => !told.has(agentId)).map(memory));
    }
    // Each of these is a transaction of its own.
    return agentIds.length + earlier.length;
  }
}
export type SourceDeliveryActivities = ReturnType<typeof createSourceDeliveryActivities>;
