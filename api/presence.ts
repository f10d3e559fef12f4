import { type Presence, presenceKey } from '../domain/presence.ts';
import type { ApiContext } from './context.ts';

/** By machine, the models that its worker says it unloaded because nothing called them, with since when. For display: none without Redis. */
export async function readIdleModels(
  { redis, log }: Pick<ApiContext, 'redis' | 'log'>,
  { machines }: { machines: ReadonlyArray<{ id: string }> },
): Promise<ReadonlyMap<string, ReadonlyMap<string, string>>> {
  const ids = machines.map(({ id }) => id);
  if (redis === undefined || ids.length === 0) return new Map();
  let shown: Array<string | null>;
  try {
    shown = await redis.mget(ids.map(presenceKey));
  } catch (err) {
    log.debug({ err }, 'presence not read');
    return new Map();
  }
  return new Map(
    shown.flatMap((text, at) => {
      if (text === null) return [];
      // A worker of an earlier version does not say.
      const { idle = [] } = JSON.parse(text) as Partial<Presence>;
      return [[ids[at]!, new Map(idle.map(({ modelId, since }) => [modelId, since]))]];
    }),
  );
}
