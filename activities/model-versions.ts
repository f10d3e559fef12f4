import { Context } from '@temporalio/activity';
import { isDomainError } from '../domain/errors.ts';
import type { SyncOutcome } from '../domain/model-manifest.ts';
import type { PlanStore } from '../stores/plans.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';

export interface ModelOnMachine {
  machineId: string;
  modelId: string;
}

/** What is to be brought to its version, in order; on any machine. */
export function createModelSyncActivities({
  fleet,
  plans,
}: {
  fleet: FleetReader;
  plans: Pick<PlanStore, 'residency'>;
}) {
  return {
    /** Model by model, each by the machines that the plan keeps it on and whose server tells digests. */
    async planModelSync({ modelIds }: { modelIds?: string[] }): Promise<ModelOnMachine[]> {
      const view = await fleet();
      const planned = (await plans.residency())?.machines ?? [];
      return [...view.variants.values()]
        .filter(({ id, digests }) => digests !== undefined && (modelIds === undefined || modelIds.includes(id)))
        .flatMap(({ id, digests }) =>
          view.fleet.machines
            .filter(({ modelServer }) => modelServer?.url !== undefined && digests![modelServer.kind] !== undefined)
            .filter((machine) =>
              planned.some(
                ({ machineId, models }) => machineId === machine.id && models.some(({ modelId }) => modelId === id),
              ),
            )
            .map((machine) => ({ machineId: machine.id, modelId: id })),
        );
    },
  };
}
export type ModelSyncActivities = ReturnType<typeof createModelSyncActivities>;

interface ModelVersions {
  isWanted(modelId: string): boolean;
  ask(modelId: string): void;
  endAsking(modelId: string): void;
  whyNot(modelId: string): string | undefined;
  fetch(modelId: string, watch: { signal: AbortSignal; onProgress: (status: string) => void }): Promise<void>;
  tidy(modelId: string, signal: AbortSignal): Promise<void>;
}

export interface SyncEnd {
  outcome: SyncOutcome;
  reason: string;
}

/** Of one machine's own queue. */
export function createModelVersionActivities({
  versions,
  pool,
  refresh,
  reported,
}: {
  versions: ModelVersions;
  pool: { reload(modelId: string, signal: AbortSignal): Promise<boolean>; missing(): string[] };
  /** Reads fleet.yaml as it is applied now. */
  refresh: () => Promise<void>;
  /** Has it written down what the machine serves now. */
  reported: () => Promise<void>;
}) {
  const without = (modelId: string, reason: string): SyncEnd => ({
    outcome: pool.missing().includes(modelId) ? 'refused' : 'returned',
    reason,
  });
  return {
    /** Has the wanted version of a model on this machine's disk, while the one before is served. @returns null where it is there and not served yet */
    async fetchModelVersion({ modelId }: { modelId: string }): Promise<SyncEnd | null> {
      const context = Context.current();
      await refresh();
      return beating(async () => {
        if (versions.isWanted(modelId)) {
          await versions.tidy(modelId, context.cancellationSignal);
          return { outcome: 'unchanged', reason: '' };
        }
        try {
          const onProgress = (status: string) => context.heartbeat(status);
          await versions.fetch(modelId, { signal: context.cancellationSignal, onProgress });
          return null;
        } catch (err) {
          // Another version than the one wanted, or none: trying again brings the same.
          if (!isDomainError(err, 'MODEL_UNVERIFIED') && !isDomainError(err, 'MODEL_MISSING')) throw err;
          return without(modelId, err.message);
        }
      });
    },

    /**
     * Loads a model anew, once the calls in hand have ended, and has the wanted version answer; without an answer the machine goes
     * back by itself. A second execution finds it done.
     */
    async serveModelVersion({ modelId }: { modelId: string }): Promise<SyncEnd> {
      const signal = Context.current().cancellationSignal;
      await refresh();
      return beating(async () => {
        if (!versions.isWanted(modelId)) {
          versions.ask(modelId);
          try {
            if (!(await pool.reload(modelId, signal)))
              return { outcome: 'unreachable', reason: 'it serves no models now: another plan, or it yields' };
          } finally {
            // What was not served within the run is not served once the run has gone on to other machines.
            versions.endAsking(modelId);
          }
          await reported();
        }
        if (!versions.isWanted(modelId))
          return without(modelId, versions.whyNot(modelId) ?? 'it could not be loaded; the log of its worker says why');
        await versions.tidy(modelId, signal);
        return { outcome: 'brought', reason: '' };
      });
    },
  };
}
export type ModelVersionActivities = ReturnType<typeof createModelVersionActivities>;
