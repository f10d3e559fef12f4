import { Context } from '@temporalio/activity';
import { DomainError } from '../domain/errors.ts';
import { isPolled, longestDelaySeconds, machineOf, pollDelaySeconds } from '../domain/sources.ts';
import type { ReadSource } from '../integrations/sources/reading.ts';
import { SourceFailure, type SourceRead } from '../integrations/sources/source-reader.ts';
import { newSourceItem } from '../stores/source-items.ts';
import type { SourceStore } from '../stores/sources.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';
import { sourceOf } from './sources.ts';

/** What a poll came to. */
export type PollOutcome =
  /** `left`: came too, and is for the next poll. */
  | { outcome: 'read'; added: number; updated: number; left: number }
  | { outcome: 'failed'; reason: string }
  /** Another poll of the same source was stored meanwhile. */
  | { outcome: 'overtaken' }
  /** Nothing is read: what there is was brought. */
  | { outcome: 'received' }
  /** fleet.yaml does not name it any more. */
  | { outcome: 'unknown' };

export interface SourceReadDeps {
  sources: SourceStore;
  fleet: FleetReader;
  /** Reads what a source has, by its kind. */
  read: ReadSource;
  /** Where this runs: a folder is read where it lies. */
  machineId: string;
}

export function createSourceReadActivities({ sources, fleet, read, machineId }: SourceReadDeps) {
  return {
    /** Reads a source from where the poll before ended, and stores what is new in the same transaction as the new end. */
    async readSource({ sourceId }: { sourceId: string }): Promise<PollOutcome> {
      const { fleet: wanted, ownerId } = await fleet();
      const source = sourceOf(wanted, sourceId);
      if (source === undefined) return { outcome: 'unknown' };
      if (!isPolled(source)) return { outcome: 'received' };
      // It has moved to another machine meanwhile.
      if ((machineOf(source) ?? machineId) !== machineId) return { outcome: 'overtaken' };
      const { cursor, polls } = await sources.state({ ownerId, sourceId });
      const { every } = source;
      let found: SourceRead;
      try {
        const { cancellationSignal } = Context.current();
        found = await beating(() => read(source, { ownerId, cursor, signal: cancellationSignal }));
      } catch (err) {
        if (!(err instanceof DomainError)) throw err;
        const { gone = false, retryAfterSeconds } = err instanceof SourceFailure ? err : {};
        await sources.fail({
          ownerId,
          sourceId,
          polls,
          reason: err.message,
          gone,
          nextPollSeconds: (failures) =>
            pollDelaySeconds({
              sourceId,
              every,
              failures,
              retryAfterSeconds: gone ? longestDelaySeconds : retryAfterSeconds,
            }),
        });
        return { outcome: 'failed', reason: err.message };
      }
      const { stored, ...counts } = await sources.intake({
        ownerId,
        sourceId,
        polls,
        items: found.items.flatMap((item) => newSourceItem(item, source, new Date()) ?? []),
        cursor: found.cursor,
        again: found.again,
        left: found.left,
        ...(found.shownParts === undefined ? {} : { shownParts: found.shownParts }),
        note: found.note,
        limit: source.itemsPerPoll,
        // Some feeds make new ids each time; everybody else means what an id says.
        byContent: source.kind === 'feed',
        updates: 'updates' in source && source.updates === 'replace',
        nextPollSeconds: (left) => pollDelaySeconds({ sourceId, every, failures: 0, left }),
      });
      return stored ? { outcome: 'read', ...counts } : { outcome: 'overtaken' };
    },
  };
}
export type SourceReadActivities = ReturnType<typeof createSourceReadActivities>;
