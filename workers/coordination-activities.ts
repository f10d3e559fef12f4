import type { Client } from '@temporalio/client';
import { createBallotEffectActivities } from '../activities/ballot-effects.ts';
import { createRolloutActivities } from '../activities/rollouts.ts';
import { createBallotActivities } from '../activities/ballots.ts';
import { createCompareActivities } from '../activities/compare-insights.ts';
import { createConsolidationActivities } from '../activities/consolidation.ts';
import { createClusterActivities } from '../activities/clusters.ts';
import { createGlobeActivities } from '../activities/globe.ts';
import { createDriftActivities } from '../activities/drift.ts';
import { createEgoActivities } from '../activities/ego.ts';
import { createCompositionActivities } from '../activities/compositions.ts';
import { createDropActivities } from '../activities/drops.ts';
import { createEmbeddingActivities } from '../activities/embeddings.ts';
import { createFleetHealthActivities } from '../activities/fleet-health.ts';
import type { FleetReader } from '../activities/fleet-view.ts';
import { createLicenseActivities } from '../activities/licenses.ts';
import { createDrainActivities } from '../activities/machines.ts';
import { createMirrorPlanActivities } from '../activities/mirror.ts';
import { createModelSyncActivities } from '../activities/model-versions.ts';
import { createMessageActivities } from '../activities/messages.ts';
import { createGatewayRequestActivities } from '../activities/gateway-requests.ts';
import { createHostedPayments } from '../activities/hosted-payments.ts';
import type { PaymentProviders } from '../activities/payment-providers.ts';
import { createInviteActivities } from '../activities/invites.ts';
import { joinActivities } from '../activities/join-activities.ts';
import { createJudgementActivities } from '../activities/judgements.ts';
import { createNotificationActivities } from '../activities/notifications.ts';
import { createPaymentActivities } from '../activities/payments.ts';
import { createPayoutActivities } from '../activities/payouts.ts';
import { createPlanActivities } from '../activities/plans.ts';
import { createPurchaseActivities } from '../activities/purchases.ts';
import { createReadinessActivities, type ReadinessReadActivities } from '../activities/readiness.ts';
import { createReconciliationActivities } from '../activities/reconciliation.ts';
import { createReflectionActivities } from '../activities/reflections.ts';
import { createReplySweepActivities } from '../activities/replies.ts';
import { createRetentionActivities } from '../activities/retention.ts';
import { createSourceDeliveryActivities } from '../activities/source-deliveries.ts';
import type { SourceReadActivities } from '../activities/source-reads.ts';
import { createSourceActivities } from '../activities/sources.ts';
import { createServiceRequestActivities } from '../activities/service-runs.ts';
import { createSpawnActivities } from '../activities/spawns.ts';
import { createSweepActivities } from '../activities/sweeps.ts';
import { createThreadActivities } from '../activities/threads.ts';
import { createWorkActivities } from '../activities/work.ts';
import type { Embedder, EmbeddingSettings } from '../domain/embeddings.ts';
import type { WorkerMetrics } from '../observability/worker-metrics.ts';
import { createAgentStore } from '../stores/agents.ts';
import type { Database } from '../stores/database.ts';
import { createBallotStore } from '../stores/ballots.ts';
import { createBlessingStore } from '../stores/blessings.ts';
import { createConsolidationStore } from '../stores/consolidation.ts';
import { openClusterer } from '../integrations/clustering/clusterer.ts';
import { placeOnSphere } from '../integrations/globe/placer.ts';
import { createClusterStore } from '../stores/clusters.ts';
import { createGlobeStore } from '../stores/globe.ts';
import { createDisputeStore } from '../stores/disputes.ts';
import { createDriftStore } from '../stores/drift.ts';
import { createEgoMintStore } from '../stores/ego-minting.ts';
import { createEmbeddingStore } from '../stores/embeddings.ts';
import { createFleetStore } from '../stores/fleets.ts';
import { createGatewayRequestStore } from '../stores/gateway-requests.ts';
import { createHealthStore } from '../stores/health.ts';
import { createIntentStore } from '../stores/intents.ts';
import { createInviteStore } from '../stores/invite-clock.ts';
import { createJudgementStore } from '../stores/judgements.ts';
import { createLicenseStore } from '../stores/licenses.ts';
import { createMachineStore } from '../stores/machines.ts';
import type { MemorySearch } from '../stores/memory-search.ts';
import { createMemoryStore } from '../stores/memories.ts';
import { createMessageStore } from '../stores/messages.ts';
import { createNotificationStore } from '../stores/notifications.ts';
import { createOutputStore } from '../stores/outputs.ts';
import { createPaymentEventStore } from '../stores/payment-events.ts';
import { createPaymentStore } from '../stores/payments.ts';
import { createPayoutStore } from '../stores/payouts.ts';
import { createPlanStore } from '../stores/plans.ts';
import { createProviderRefundStore } from '../stores/provider-refunds.ts';
import { createCompositionStore } from '../stores/compositions.ts';
import { createDropScheduleStore } from '../stores/drop-schedules.ts';
import { createReplyStore } from '../stores/replies.ts';
import { createPublishingStore } from '../stores/publishing.ts';
import { createPurchaseStore } from '../stores/purchase-steps.ts';
import { createReadinessStore } from '../stores/readiness.ts';
import { createReconciliationStore } from '../stores/reconciliations.ts';
import { createReflectionStore } from '../stores/reflections.ts';
import { createRetentionStore } from '../stores/retention.ts';
import { createRunStore } from '../stores/runs.ts';
import { createRolloutAssessmentStore } from '../stores/rollout-assessments.ts';
import { createRolloutStore } from '../stores/rollout-steps.ts';
import { createServiceRunStore } from '../stores/service-runs.ts';
import { createSourceDropStore } from '../stores/source-drops.ts';
import { createSourceGuildStore } from '../stores/source-guilds.ts';
import { createSourceItemStore } from '../stores/source-items.ts';
import { createSourceStore } from '../stores/sources.ts';
import { createSpawnStore } from '../stores/spawns.ts';
import { createStepResultStore } from '../stores/step-results.ts';
import { createSweepStore } from '../stores/sweeps.ts';
import { createThreadStore } from '../stores/threads.ts';
import { createUnsaidVectorStore } from '../stores/unsaid-vectors.ts';
import { createVoterStore } from '../stores/voters.ts';
import { createVoteStore } from '../stores/votes.ts';
import { createWeavingStore } from '../stores/weaving.ts';
import { createWorkStore } from '../stores/work.ts';
import { readSchedules } from './schedule-facts.ts';
import { reconcileSchedules } from './schedules.ts';

export function createWorkerStores(db: Database) {
  return {
    db,
    ballots: createBallotStore(db),
    votes: createVoteStore(db),
    voters: createVoterStore(db),
    egoMints: createEgoMintStore(db),
    agents: createAgentStore(db),
    machines: createMachineStore(db),
    plans: createPlanStore(db),
    fleets: createFleetStore(db),
    runs: createRunStore(db),
    health: createHealthStore(db),
    sweeps: createSweepStore(db),
    spawns: createSpawnStore(db),
    memories: createMemoryStore(db),
    messages: createMessageStore(db),
    notifications: createNotificationStore(db),
    embeddings: createEmbeddingStore(db),
    outputs: createOutputStore(db),
    drift: createDriftStore(db),
    clusters: createClusterStore(db),
    globe: createGlobeStore(db),
    invites: createInviteStore(db),
    judgements: createJudgementStore(db),
    reflections: createReflectionStore(db),
    retention: createRetentionStore(db),
    unsaidVectors: createUnsaidVectorStore(db),
    licenses: createLicenseStore(db),
    purchases: createPurchaseStore(db),
    steps: createStepResultStore(db),
    intents: createIntentStore(db),
    sources: createSourceStore(db),
    sourceItems: createSourceItemStore(db),
    threads: createThreadStore(db),
    weaving: createWeavingStore(db),
    consolidation: createConsolidationStore(db),
    serviceRuns: createServiceRunStore(db),
    rollouts: createRolloutStore(db),
    rolloutAssessments: createRolloutAssessmentStore(db),
    sourceDrops: createSourceDropStore(db),
    sourceGuilds: createSourceGuildStore(db),
    reconciliations: createReconciliationStore(db),
    readiness: createReadinessStore(db),
    payments: createPaymentStore(db),
    paymentEvents: createPaymentEventStore(db),
    providerRefunds: createProviderRefundStore(db),
    disputes: createDisputeStore(db),
    payouts: createPayoutStore(db),
    blessings: createBlessingStore(db),
    publishing: createPublishingStore(db),
    dropSchedules: createDropScheduleStore(db),
    compositions: createCompositionStore(db),
    replies: createReplyStore(db),
    works: createWorkStore(db),
    gatewayRequests: createGatewayRequestStore(db),
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
  memorySearch: MemorySearch,
  sourceReads: SourceReadActivities,
  readinessReads: ReadinessReadActivities,
  providers: PaymentProviders,
  metrics?: WorkerMetrics,
) {
  return joinActivities(
    createRolloutActivities(stores),
    createBallotActivities({ ...stores, fleet }),
    createBallotEffectActivities({ ...stores, client }),
    createEgoActivities({ ...stores, fleet }),
    createFleetHealthActivities({ ...stores, schedules: () => readSchedules(client) }),
    createNotificationActivities({ ...stores, fleet }),
    createSweepActivities({ ...stores, fleet, machineId }),
    createReflectionActivities({ ...stores, fleet, ...(metrics && { metrics }) }),
    createMessageActivities({ ...stores, fleet }),
    createGatewayRequestActivities({ ...stores, fleet }),
    createCompareActivities({ ...stores, memorySearch }),
    createPlanActivities({
      ...stores,
      reconcileSchedules: () =>
        reconcileSchedules(client, fleet, {
          cadences: stores.agents.livingCadences,
          sources: () => stores.sources.underWay(),
        }),
    }),
    createDrainActivities(stores),
    createRetentionActivities({ ...stores, fleet }),
    createMirrorPlanActivities({ fleet }),
    createModelSyncActivities({ ...stores, fleet }),
    createReconciliationActivities(stores),
    createLicenseActivities(stores),
    createPaymentActivities({ ...stores, providers }),
    createPayoutActivities({ ...stores, providers, fleet }),
    // Credits are the ledger's own.
    createPurchaseActivities({
      ...stores,
      providers: { stripe: createHostedPayments({ ...stores, name: 'stripe', providers, fleet }) },
    }),
    sourceReads,
    readinessReads,
    createReadinessActivities(stores),
    createSourceActivities({ ...stores, fleet }),
    createSourceDeliveryActivities({ ...stores, fleet }),
    createEmbeddingActivities({ ...stores, fleet, embedderOf }),
    createThreadActivities({ ...stores, fleet, embedderOf }),
    createConsolidationActivities({ ...stores, fleet }),
    createDriftActivities({ ...stores, fleet, embedderOf }),
    createInviteActivities({ ...stores, fleet }),
    createJudgementActivities({ ...stores, fleet }),
    createClusterActivities({ ...stores, fleet, openClusterer }),
    createGlobeActivities({ ...stores, fleet, placeOnSphere }),
    createServiceRequestActivities({ runs: stores.serviceRuns }),
    createSpawnActivities({ ...stores, fleet, embedderOf, memorySearch }),
    createDropActivities(stores),
    createReplySweepActivities(stores),
    createCompositionActivities({ ...stores, fleet }),
    createWorkActivities(stores),
  );
}
