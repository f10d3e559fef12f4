import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import { DomainError } from '../domain/errors.ts';
import type { Fleet } from '../domain/fleet.ts';
import { cleanText, cutText, joinText } from '../domain/source-text.ts';
import { happenedAt, longestDelaySeconds, pollDelaySeconds, type Source } from '../domain/sources.ts';
import type { SourceItem, SourceRead } from '../integrations/sources/source-reader.ts';
import { SourceFailure } from '../integrations/sources/source-reader.ts';
import type { NewSourceItem, SourceStore } from '../stores/sources.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';

/** Sources that one sweep starts. */
const claimedAtOnce = 100;
/** A poll whose workflow came to nothing is made up for after this. */
const holdSeconds = 600;

/** What a poll came to. */
export type PollOutcome =
  /** `left`: came too, and is for the next poll. */
  | { outcome: 'read'; added: number; updated: number; left: number }
  | { outcome: 'failed'; reason: string }
  /** Another poll of the same source was stored meanwhile, or fleet.yaml no longer names it. */
  | { outcome: 'overtaken' }
  | { outcome: 'unknown' };

export interface SourceDeps {
  sources: SourceStore;
  fleet: FleetReader;
  /** Reads what a source has, by its kind. */
  read: (source: Source, cursor: unknown, signal: AbortSignal) => Promise<SourceRead>;
  now?: () => Date;
}

export function createSourceActivities({ sources, fleet, read, now = () => new Date() }: SourceDeps) {
  return {
    /** Which sources are due; each is held for this sweep. */
    async claimSources({ sweepId }: { sweepId: string }): Promise<{ sourceIds: string[] }> {
      const { fleet: wanted, ownerId } = await fleet();
      const sourceIds = wanted.sources.map(({ id }) => id);
      return {
        sourceIds: await sources.claim({ ownerId, sourceIds, claimedBy: sweepId, limit: claimedAtOnce, holdSeconds }),
      };
    },

    /** Reads a source from where the poll before ended, and stores what is new in the same transaction as the new end. */
    async readSource({ sourceId }: { sourceId: string }): Promise<PollOutcome> {
      const { fleet: wanted, ownerId } = await fleet();
      const source = sourceOf(wanted, sourceId);
      if (source === undefined) return { outcome: 'unknown' };
      const { cursor, polls } = await sources.state({ ownerId, sourceId });
      const { every } = source;
      let found: SourceRead;
      try {
        const { cancellationSignal } = Context.current();
        found = await beating(() => read(source, cursor, cancellationSignal));
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
        items: found.items.flatMap((item) => newItem(item, source, now())),
        cursor: found.cursor,
        note: found.note,
        limit: source.itemsPerPoll,
        updates: source.updates === 'replace',
        nextPollSeconds: (left) => pollDelaySeconds({ sourceId, every, failures: 0, left }),
      });
      return stored ? { outcome: 'read', ...counts } : { outcome: 'overtaken' };
    },

    /** A poll that did not come to an answer of its own: its worker died, or took too long. */
    async noteSourceFailure({ sourceId, reason }: { sourceId: string; reason: string }): Promise<void> {
      const { fleet: wanted, ownerId } = await fleet();
      const source = sourceOf(wanted, sourceId);
      if (source === undefined) return;
      await sources.fail({
        ownerId,
        sourceId,
        reason,
        gone: false,
        nextPollSeconds: (failures) => pollDelaySeconds({ sourceId, every: source.every, failures }),
      });
    },
  };
}
export type SourceActivities = ReturnType<typeof createSourceActivities>;

export function sourceOf({ sources }: Fleet, sourceId: string): Source | undefined {
  return sources.find(({ id }) => id === sourceId);
}

/** As it is stored: cleaned, cut, dated. What holds no words afterwards is nothing. */
function newItem(item: SourceItem, { charactersPerItem }: Source, now: Date): NewSourceItem[] {
  const title = cleanText(item.title);
  const text = joinText(title, cleanText(item.text));
  if (text === '') return [];
  return [
    {
      itemHash: createHash('sha256').update(item.key).digest('hex'),
      // Before it is cut, so that another limit does not make every item a changed one.
      contentHash: createHash('sha256')
        .update(`${item.url ?? ''}\0${title}\0${text}`)
        .digest(),
      title: cutText(title, 300),
      text: cutText(text, charactersPerItem),
      url: item.url,
      occurredAt: happenedAt(item.publishedAt, now),
      changedAt: happenedAt(item.changedAt, now),
    },
  ];
}
