import type { Fleet } from '../domain/fleet.ts';
import { isPolled, machineOf, pollDelaySeconds, type Source } from '../domain/sources.ts';
import type { SourceStore } from '../stores/sources.ts';
import type { FleetReader } from './fleet-view.ts';

/** Sources that one sweep starts. */
const claimedAtOnce = 100;
/** A poll whose workflow came to nothing is made up for after this. */
const holdSeconds = 600;

/** @property machines of those that are read on one machine */
export interface ClaimedSources {
  sourceIds: string[];
  machines?: Record<string, string>;
}

export interface SourceDeps {
  sources: SourceStore;
  fleet: FleetReader;
}

export function createSourceActivities({ sources, fleet }: SourceDeps) {
  return {
    /** Which sources are due; each is held for this sweep. */
    async claimSources({ sweepId }: { sweepId: string }): Promise<ClaimedSources> {
      const { fleet: wanted, ownerId } = await fleet();
      const sourceIds = await sources.claim({
        ownerId,
        sourceIds: wanted.sources.map(({ id }) => id),
        polledIds: wanted.sources.filter(isPolled).map(({ id }) => id),
        claimedBy: sweepId,
        limit: claimedAtOnce,
        holdSeconds,
      });
      const machines: Record<string, string> = {};
      for (const id of sourceIds) {
        const machine = machineOf(sourceOf(wanted, id));
        if (machine !== undefined) machines[id] = machine;
      }
      return { sourceIds, machines };
    },

    /** A poll that did not come to an answer of its own: its worker died, or took too long. */
    async noteSourceFailure({ sourceId, reason }: { sourceId: string; reason: string }): Promise<void> {
      const { fleet: wanted, ownerId } = await fleet();
      const source = sourceOf(wanted, sourceId);
      if (source === undefined || !isPolled(source)) return;
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
