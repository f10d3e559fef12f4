import { createHash } from 'node:crypto';
import { Context } from '@temporalio/activity';
import type { Fleet } from '../domain/fleet.ts';
import type { ReadinessArea, Verdict } from '../domain/readiness.ts';
import { assessArea } from '../domain/readiness-assessors.ts';
import type { Inventory, LiveMachine, StopTrial } from '../domain/readiness-inventory.ts';
import type { ServiceSpec } from '../domain/services.ts';
import type { Repository, ReadinessStore } from '../stores/readiness.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';

/** Reads a repository where it lies, or says why it may not. */
export type InventoryReading = (
  repository: Repository,
  fleet: Fleet,
  known: {
    services: readonly ServiceSpec[];
    /** How services were seen to stop. */
    stops: readonly StopTrial[];
  },
  signal: AbortSignal,
) => Promise<{ inventory: Inventory } | { refused: string }>;

/** What machines do: the one on which the repository lies reads that, and each says what runs there. */
export function createReadinessReadActivities({
  readiness,
  fleet,
  readInventory,
  readLive,
}: {
  readiness: ReadinessStore;
  fleet: FleetReader;
  readInventory: InventoryReading;
  /** Of this machine, as it runs now. */
  readLive: () => Promise<LiveMachine>;
}) {
  return {
    /** The first inventory of a run stays, so that all its assessors judge the same. */
    async readReadinessInventory({ runId }: { runId: string }): Promise<{ refused: string | null }> {
      const run = await readiness.find(runId);
      if (run.hasInventory) return { refused: null };
      const view = await fleet();
      const known = {
        services: await readiness.services(run.ownerId),
        stops: await readiness.stopTrials(run.ownerId),
      };
      const read = await beating(() =>
        readInventory(run.repository, view.fleet, known, Context.current().cancellationSignal),
      );
      if ('refused' in read) return { refused: read.refused };
      await readiness.keepInventory(runId, read.inventory);
      return { refused: null };
    },

    async readLiveFacts({ runId }: { runId: string }): Promise<void> {
      await readiness.keepLive(runId, await beating(readLive));
    },
  };
}
export type ReadinessReadActivities = ReturnType<typeof createReadinessReadActivities>;

export function createReadinessActivities({ readiness }: { readiness: ReadinessStore }) {
  return {
    /** A run for what was asked for; without it one for each repository that an owner has had assessed. */
    async openReadinessRuns({
      period,
      ownerId,
      repository,
    }: {
      period: string;
      ownerId?: string;
      repository?: Repository;
    }): Promise<{ runs: Array<{ runId: string; machineId: string | null }> }> {
      const wanted =
        ownerId === undefined || repository === undefined ? await readiness.lastOfEach() : [{ ownerId, repository }];
      const runs = [];
      const begun = new Set<string>();
      for (const each of wanted) {
        const { folder, machineId } = each.repository;
        // Of one owner the newest has no more than that in its name; done again, each has the same one.
        const other = begun.has(each.ownerId) ? `:${shortHash(`${folder} ${machineId ?? ''}`)}` : '';
        begun.add(each.ownerId);
        const runId = `${period}${wanted.length > 1 ? `:${each.ownerId}` : ''}${other}`;
        await readiness.open({ id: runId, ...each });
        runs.push({ runId, machineId: each.repository.machineId });
      }
      return { runs };
    },

    /** Machines that are to say what runs there. */
    unreadMachines: async ({ runId }: { runId: string }): Promise<{ machineIds: string[] }> => ({
      machineIds: await readiness.unreadMachines(runId),
    }),

    async assessReadinessArea({ runId, area }: { runId: string; area: ReadinessArea }): Promise<{ found: number }> {
      const findings = assessArea(area, await readiness.inventory(runId));
      await readiness.store(runId, area, findings);
      return { found: findings.length };
    },

    async settleReadinessRun({ runId }: { runId: string }): Promise<{ verdict: Verdict }> {
      return { verdict: await readiness.settle(runId) };
    },

    async failReadinessRun({ runId, reason }: { runId: string; reason: string }): Promise<void> {
      await readiness.fail(runId, reason);
    },
  };
}
function shortHash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}
export type ReadinessActivities = ReturnType<typeof createReadinessActivities>;
