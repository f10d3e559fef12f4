import type { Client } from '@temporalio/client';
import { createClusterActivities } from '../activities/clusters.ts';
import { createDriftActivities } from '../activities/drift.ts';
import { createEmbeddingActivities } from '../activities/embeddings.ts';
import { createFleetHealthActivities } from '../activities/fleet-health.ts';
import type { FleetReader } from '../activities/fleet-view.ts';
import { createDrainActivities } from '../activities/machines.ts';
import { createPlanActivities } from '../activities/plans.ts';
import { createReflectionActivities } from '../activities/reflections.ts';
import { createRetentionActivities } from '../activities/retention.ts';
import { createSourceDeliveryActivities } from '../activities/source-deliveries.ts';
import { createSourceActivities } from '../activities/sources.ts';
import { createSweepActivities } from '../activities/sweeps.ts';
import type { Embedder, EmbeddingSettings } from '../domain/embeddings.ts';
import { createGuardedFetch } from '../integrations/guarded-fetch.ts';
import { createSourceReading } from '../integrations/sources/reading.ts';
import { createAgentStore } from '../stores/agents.ts';
import type { Database } from '../stores/database.ts';
import { openClusterer } from '../integrations/clustering/clusterer.ts';
import { createClusterStore } from '../stores/clusters.ts';
import { createDriftStore } from '../stores/drift.ts';
import { createEmbeddingStore } from '../stores/embeddings.ts';
import { createFleetStore } from '../stores/fleets.ts';
import { createIntentStore } from '../stores/intents.ts';
import { createMachineStore } from '../stores/machines.ts';
import { createMemoryStore } from '../stores/memories.ts';
import { createOutputStore } from '../stores/outputs.ts';
import { createPlanStore } from '../stores/plans.ts';
import { createReflectionStore } from '../stores/reflections.ts';
import { createRetentionStore } from '../stores/retention.ts';
import { createRunStore } from '../stores/runs.ts';
import { createSourceItemStore } from '../stores/source-items.ts';
import { createSourceStore } from '../stores/sources.ts';
import { createStepResultStore } from '../stores/step-results.ts';
import { createSweepStore } from '../stores/sweeps.ts';
import { reconcileSchedules } from './schedules.ts';

export function createWorkerStores(db: Database) {
  return {
    agents: createAgentStore(db),
    machines: createMachineStore(db),
    plans: createPlanStore(db),
    fleets: createFleetStore(db),
    runs: createRunStore(db),
    sweeps: createSweepStore(db),
    memories: createMemoryStore(db),
    embeddings: createEmbeddingStore(db),
    outputs: createOutputStore(db),
    drift: createDriftStore(db),
    clusters: createClusterStore(db),
    reflections: createReflectionStore(db),
    retention: createRetentionStore(db),
    steps: createStepResultStore(db),
    intents: createIntentStore(db),
    sources: createSourceStore(db),
    sourceItems: createSourceItemStore(db),
  };
}
export type WorkerStores = ReturnType<typeof createWorkerStores>;

/** Everything that the `coordination` queue runs beside workflows. */
export function createCoordinationActivities(
  machineId: string,
  stores: WorkerStores,
  fleet: FleetReader,
  client: Client,
  embedderOf: (settings: EmbeddingSettings) => Embedder,
) {
  return {
    ...createFleetHealthActivities(stores),
    ...createSweepActivities({ ...stores, fleet, machineId }),
    ...createReflectionActivities({ ...stores, fleet }),
    ...createPlanActivities({
      ...stores,
      reconcileSchedules: () => reconcileSchedules(client, fleet, stores.agents.livingCadences),
    }),
    ...createDrainActivities(stores),
    ...createRetentionActivities({ ...stores, fleet }),
    ...createSourceActivities({ ...stores, fleet, read: createSourceReading({ guardedFetch: createGuardedFetch() }) }),
    ...createSourceDeliveryActivities({ ...stores, fleet }),
    ...createEmbeddingActivities({ ...stores, fleet, embedderOf }),
    ...createDriftActivities({ ...stores, fleet, embedderOf }),
    ...createClusterActivities({ ...stores, fleet, openClusterer }),
  };
}
