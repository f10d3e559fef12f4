import { z } from 'zod';
import type { DropsSource } from '../domain/sources.ts';
import type { SourceReader } from '../integrations/sources/source-reader.ts';
import type { SourceDropStore } from '../stores/source-drops.ts';

/** Of the agent that it was made for. */
const cursorSchema = z.object({ agent: z.string(), seq: z.int() });

/** What another agent has dropped since; drops themselves are memories of that agent. */
export function createDropsReader({ drops }: { drops: SourceDropStore }): SourceReader<DropsSource> {
  return {
    async read(source, { ownerId, cursor }) {
      const parsed = cursorSchema.safeParse(cursor);
      const seq = parsed.success && parsed.data.agent === source.agent ? parsed.data.seq : 0;
      const limit = source.itemsPerPoll;
      const found = await drops.after({ ownerId, agentId: source.agent, seq, limit: limit + 1 });
      const taken = found.slice(0, limit);
      const next = { agent: source.agent, seq: taken.at(-1)?.seq ?? seq };
      return {
        items: taken.map(({ id, text, occurredAt }) => ({
          key: id,
          title: '',
          text,
          url: null,
          publishedAt: occurredAt,
          changedAt: null,
        })),
        cursor: next,
        again: { agent: source.agent, seq },
        left: found.length - taken.length,
        // Each is shown once.
        shownParts: [],
        note: '',
      };
    },
  };
}
