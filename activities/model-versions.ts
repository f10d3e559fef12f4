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
  forgive(modelId: string): void;
  whyNot(modelId: string): string | undefined;
  fetch(modelId: string, watch: { signal: AbortSignal; onProgress: (status: string) => void }): Promise<void>;
  tidy(modelId: string, signal: AbortSignal): Promise<void>;
}

/** Of one machine's own queue. */
export function createModelVersionActivities({
  models,
  pool,
  refresh,
  reported,
}: {
  models: ModelVersions;
  pool: { reload(modelId: string, signal: AbortSignal): Promise<boolean>; missing(): string[] };
  /** Reads fleet.yaml as it is applied now. */
  refresh: () => Promise<void>;
  /** Has it written down what the machine serves now. */
  reported: () => Promise<void>;
}) {
  return {
    /**
     * Brings a model of this machine to its wanted version: fetched while the one before is served, loaded anew once the calls in hand
     * have ended, and asked for an answer; without one the machine goes back by itself. A second execution finds it done.
     */
    async bringModel({ modelId }: { modelId: string }): Promise<{ outcome: SyncOutcome; reason: string }> {
      await refresh();
      const signal = Context.current().cancellationSignal;
      return beating(async () => {
        if (models.isWanted(modelId)) {
          await models.tidy(modelId, signal);
          return { outcome: 'unchanged', reason: '' };
        }
        try {
          await models.fetch(modelId, { signal, onProgress: (status) => Context.current().heartbeat(status) });
        } catch (err) {
          // Another version than the one wanted, or none: trying again brings the same.
          if (!isDomainError(err, 'MODEL_UNVERIFIED') && !isDomainError(err, 'MODEL_MISSING')) throw err;
          return { outcome: pool.missing().includes(modelId) ? 'refused' : 'returned', reason: err.message };
        }
        models.forgive(modelId);
        const reloaded = await pool.reload(modelId, signal);
        await reported();
        if (!reloaded) return { outcome: 'unreachable', reason: 'it serves no models now: another plan, or it yields' };
        if (models.isWanted(modelId)) {
          await models.tidy(modelId, signal);
          return { outcome: 'brought', reason: '' };
        }
        const reason = models.whyNot(modelId) ?? 'it could not be loaded; the log of its worker says why';
        return { outcome: pool.missing().includes(modelId) ? 'refused' : 'returned', reason };
      });
    },
  };
}
export type ModelVersionActivities = ReturnType<typeof createModelVersionActivities>;
