import { tmpdir } from 'node:os';
import {
  Client,
  Connection,
  type WorkflowHandle,
  type WorkflowHandleWithFirstExecutionRunId,
  WorkflowIdReusePolicy,
} from '@temporalio/client';
import { NativeConnection } from '@temporalio/worker';
import { sql } from 'kysely';
import { type AnswerStream, createAnswerActivities } from '../../activities/answers.ts';
import { createCompletionActivities } from '../../activities/completions.ts';
import { createGatewayRequestStore } from '../../stores/gateway-requests.ts';
import { createBallotEffectActivities } from '../../activities/ballot-effects.ts';
import { createBallotActivities } from '../../activities/ballots.ts';
import { createCompareActivities } from '../../activities/compare-insights.ts';
import { createCompositionActivities } from '../../activities/compositions.ts';
import { createConsolidationActivities } from '../../activities/consolidation.ts';
import { createClusterActivities } from '../../activities/clusters.ts';
import { createGlobeActivities } from '../../activities/globe.ts';
import { createDropActivities } from '../../activities/drops.ts';
import { createDriftActivities } from '../../activities/drift.ts';
import { createEgoActivities } from '../../activities/ego.ts';
import { createEmbeddingActivities } from '../../activities/embeddings.ts';
import { createFleetHealthActivities } from '../../activities/fleet-health.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { createInferenceActivities } from '../../activities/inference.ts';
import type { HeldLease, MachineCallDeps } from '../../activities/machine-calls.ts';
import { createDrainActivities } from '../../activities/machines.ts';
import { createMessageActivities } from '../../activities/messages.ts';
import { createHostedPayments } from '../../activities/hosted-payments.ts';
import { ofOneAccount, type PaymentProviders } from '../../activities/payment-providers.ts';
import { createInviteActivities } from '../../activities/invites.ts';
import { joinActivities } from '../../activities/join-activities.ts';
import { createJudgementActivities } from '../../activities/judgements.ts';
import { createPaymentActivities } from '../../activities/payments.ts';
import { createPayoutActivities } from '../../activities/payouts.ts';
import { createPlanActivities } from '../../activities/plans.ts';
import { createPurchaseActivities } from '../../activities/purchases.ts';
import { createReadinessActivities } from '../../activities/readiness.ts';
import { createRolloutActivities } from '../../activities/rollouts.ts';
import { createReconciliationActivities } from '../../activities/reconciliation.ts';
import { createReflectionActivities } from '../../activities/reflections.ts';
import { createSpawnActivities } from '../../activities/spawns.ts';
import { createSweepActivities } from '../../activities/sweeps.ts';
import { createThreadActivities } from '../../activities/threads.ts';
import { durationSeconds } from '../../domain/durations.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { idOf, messageWorkflowId, reflectWorkflowId, spawnWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import type { Inference, TextModel } from '../../integrations/inference/inference.ts';
import { createReadinessStore } from '../../stores/readiness.ts';
import { createLogger } from '../../observability/logger.ts';
import { receiveWhisper } from '../../stores/admission.ts';
import { createAgentStore } from '../../stores/agents.ts';
import { createBallotStore } from '../../stores/ballots.ts';
import { createBlessingStore } from '../../stores/blessings.ts';
import { createCompositionStore } from '../../stores/compositions.ts';
import { createConsolidationStore } from '../../stores/consolidation.ts';
import { openClusterer } from '../../integrations/clustering/clusterer.ts';
import { placeOnSphere } from '../../integrations/globe/placer.ts';
import { createClusterStore } from '../../stores/clusters.ts';
import { createGlobeStore } from '../../stores/globe.ts';
import { createDisputeStore } from '../../stores/disputes.ts';
import { createDriftStore } from '../../stores/drift.ts';
import { createEgoMintStore } from '../../stores/ego-minting.ts';
import { createDropScheduleStore } from '../../stores/drop-schedules.ts';
import { createEmbeddingStore } from '../../stores/embeddings.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createHealthStore } from '../../stores/health.ts';
import { newId } from '../../stores/ids.ts';
import { createInviteStore } from '../../stores/invite-clock.ts';
import { createJudgementStore } from '../../stores/judgements.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { createMemoryStore, type NewMemory } from '../../stores/memories.ts';
import { createMemorySearch } from '../../stores/memory-search.ts';
import { createMessageStore } from '../../stores/messages.ts';
import { createOutputStore } from '../../stores/outputs.ts';
import { createPaymentEventStore } from '../../stores/payment-events.ts';
import { createPaymentStore } from '../../stores/payments.ts';
import { createPayoutStore } from '../../stores/payouts.ts';
import { createPlanStore } from '../../stores/plans.ts';
import { createProviderAccountStore } from '../../stores/provider-accounts.ts';
import { createProviderRefundStore } from '../../stores/provider-refunds.ts';
import { createPublishingStore } from '../../stores/publishing.ts';
import { createPurchaseStore } from '../../stores/purchase-steps.ts';
import { createReconciliationStore } from '../../stores/reconciliations.ts';
import { createReflectionStore } from '../../stores/reflections.ts';
import { createRolloutAssessmentStore } from '../../stores/rollout-assessments.ts';
import { createRolloutStore } from '../../stores/rollout-steps.ts';
import { createRunStore } from '../../stores/runs.ts';
import { createSpawnStore } from '../../stores/spawns.ts';
import { createStepResultStore } from '../../stores/step-results.ts';
import { createSweepStore } from '../../stores/sweeps.ts';
import { createThreadStore } from '../../stores/threads.ts';
import { createTokenBudgetStore } from '../../stores/token-budgets.ts';
import { createVoterStore } from '../../stores/voters.ts';
import { createVoteStore } from '../../stores/votes.ts';
import { createWeavingStore } from '../../stores/weaving.ts';
import { createCoordinationWorker } from '../../workers/coordination.ts';
import { createInferencePool } from '../../workers/inference-pool.ts';
import { createMachineReadinessReads } from '../../workers/readiness-reads.ts';
import { readSchedules } from '../../workers/schedule-facts.ts';
import { installRuntime } from '../../workers/runtime.ts';
import { SlotGate } from '../../workers/slot-gate.ts';
import type { AnswerMessageInput, AnswerMessageResult } from '../../workflows/answer-message.ts';
import type { ReflectAgentInput, ReflectAgentResult } from '../../workflows/reflect-agent.ts';
import type { SpawnPersonaResult } from '../../workflows/spawn-persona.ts';
import type { ReflectFleetInput, ReflectFleetResult } from '../../workflows/reflect-fleet.ts';
import { hashedEmbedder } from './hashed-embedder.ts';
import { openStoreScope, testOwner } from './store-scope.ts';

const log = createLogger({ part: 'worker', level: 'silent' });
let runtime = false;

export type Stage = Awaited<ReturnType<typeof openStage>>;
export type StageMachine = Awaited<ReturnType<Stage['join']>>;
type Coordination = ReturnType<typeof coordinationActivities>;

interface Ended {
  state: string;
  reason: string;
}

/**
 * A fleet in this process: the shipped stores, activities, gate, pool and coordination worker on real servers. Only the
 * model is a double, and leases do not run out by themselves, so that a test decides when a machine is gone.
 */
export async function openStage(
  fleet: Fleet,
  change: (shipped: Coordination) => Partial<Coordination> = () => ({}),
  { coordinatedBy = 'pc2', providers = {} }: { coordinatedBy?: string; providers?: PaymentProviders } = {},
) {
  if (!runtime) installRuntime(log);
  runtime = true;
  const store = await openStoreScope();
  const { db, scope } = store;
  const stores = {
    db,
    ballots: createBallotStore(db),
    votes: createVoteStore(db),
    voters: createVoterStore(db),
    egoMints: createEgoMintStore(db),
    agents: createAgentStore(db),
    machines: createMachineStore(db),
    health: createHealthStore(db),
    plans: createPlanStore(db),
    fleets: createFleetStore(db),
    runs: createRunStore(db),
    sweeps: createSweepStore(db),
    memories: createMemoryStore(db),
    messages: createMessageStore(db),
    memorySearch: createMemorySearch({
      db,
      embedderOf: () => hashedEmbedder,
      settings: () => Promise.resolve({ kind: 'built-in' }),
      cacheBytes: () => 1 << 24,
      onFailure: (err) => {
        throw err;
      },
    }),
    reflections: createReflectionStore(db),
    steps: createStepResultStore(db),
    embeddings: createEmbeddingStore(db),
    threads: createThreadStore(db),
    weaving: createWeavingStore(db),
    consolidation: createConsolidationStore(db),
    outputs: createOutputStore(db),
    drift: createDriftStore(db),
    clusters: createClusterStore(db),
    globe: createGlobeStore(db),
    spawns: createSpawnStore(db),
    invites: createInviteStore(db),
    judgements: createJudgementStore(db),
    reconciliations: createReconciliationStore(db),
    readiness: createReadinessStore(db),
    rollouts: createRolloutStore(db),
    rolloutAssessments: createRolloutAssessmentStore(db),
    payments: createPaymentStore(db),
    paymentEvents: createPaymentEventStore(db),
    providerRefunds: createProviderRefundStore(db),
    disputes: createDisputeStore(db),
    payouts: createPayoutStore(db),
    blessings: createBlessingStore(db),
    purchases: createPurchaseStore(db),
    compositions: createCompositionStore(db),
    dropSchedules: createDropScheduleStore(db),
    gatewayRequests: createGatewayRequestStore(db),
    publishing: createPublishingStore(db),
  };
  await store.apply(fleet);
  const reader = createFleetReader(stores.fleets);
  const accounts = createProviderAccountStore(db);
  const guarded = Object.fromEntries(
    Object.entries(providers).map(([name, provider]) => [name, ofOneAccount(provider, accounts)]),
  );
  const native = await NativeConnection.connect({ address: scope.temporalAddress });
  const connection = await Connection.connect({ address: scope.temporalAddress });
  const client = new Client({ connection, namespace: scope.namespace });
  const shipped = coordinationActivities({ ...stores, machineId: coordinatedBy, providers: guarded, client }, reader);
  const worker = await createCoordinationWorker({
    connection: native,
    namespace: scope.namespace,
    identity: 'stage/coordination/0',
    bundlePath: scope.workflowBundlePath(),
    weight: { pollers: 4, workflowSlots: 20, activitySlots: 8 },
    activities: { ...shipped, ...change(shipped) },
  });
  const running = worker.run();
  /** What answers under way have told, in the order of their telling. */
  const written: Array<{ messageId: string; attempt: number; machineId: string; text: string }> = [];
  const joined: Array<{ comeToPlan(): Promise<void>; leave(): Promise<void> }> = [];

  const stage = {
    ...store,
    ...stores,
    client,
    fleet: reader,
    activities: shipped,
    written,

    async remember(items: readonly NewMemory[]): Promise<void> {
      await stores.memories.add(testOwner, items);
    },

    /** Computes and applies whatever plan is asked for, as `replanFleet` would, and has the joined machines come to it. */
    async plan(): Promise<void> {
      const asked = await db.selectFrom('plans').select('version').where('state', '=', 'planned').execute();
      for (const { version } of asked) {
        await shipped.computePlan({ planVersion: version });
        await shipped.markApplied({ planVersion: version });
      }
      await sql`delete from intents`.execute(db);
      for (const machine of joined) await machine.comeToPlan();
    },

    /** A machine takes its lease, which holds until `lose`; it polls what the plan gives it from the next `plan` on. */
    async join(machineId: string, inference: Inference, options: { sequences?: number; text?: TextModel } = {}) {
      const view = await reader();
      const planned = view.fleet.machines.find((machine) => machine.id === machineId);
      // One connection may register a queue once, as each machine's process has one.
      const own = await NativeConnection.connect({ address: scope.temporalAddress });
      const gate = new SlotGate(options.sequences ?? planned?.modelServer?.sequences ?? 1);
      let abort = new AbortController();
      let lease = await stores.machines.register(machineId, { identity: `${machineId}/worker/0`, runsAs: 'simulated' });
      await holdLease(machineId);
      const held = (): HeldLease => ({ machineId, epoch: lease.epoch, signal: abort.signal });
      const calls: MachineCallDeps = {
        lease: held,
        permits: gate,
        budgets: createTokenBudgetStore(db, () => view.fleet.budgets),
        callFor: (modelId) => ({
          inference,
          text: options.text,
          variant: view.variants.get(modelId)!,
          servedAs: modelId,
          kind: 'openai',
        }),
        serverDown: () => undefined,
        served: () => undefined,
      };
      const stream: AnswerStream = {
        begin(at) {
          const entry = { ...at, text: '' };
          written.push(entry);
          return {
            write: (piece) => {
              entry.text += piece;
            },
            end: () => Promise.resolve(),
          };
        },
      };
      const pool = createInferencePool({
        connection: own,
        namespace: scope.namespace,
        identity: `${machineId}/worker/0`,
        gate,
        activities: {
          ...createInferenceActivities({ ...stores, ...calls, mostDepth: () => view.fleet.limits.reflectionDepth }),
          ...createAnswerActivities({ ...stores, ...calls, stream, fleet: reader }),
          ...createCompletionActivities({ ...stores, ...calls, stream }),
        },
        loader: { load: () => Promise.resolve(), unload: () => Promise.resolve(true) },
        callTimeout: 1_000,
        heartbeatTimeout: durationSeconds(view.fleet.limits.heartbeatTimeout) * 1000,
        log,
        onChange: () => undefined,
        onFailure: (err) => {
          throw err;
        },
      });
      const machine = {
        machineId,
        held,
        async comeToPlan(): Promise<void> {
          const current = await stores.plans.currentFor(machineId);
          if (!current) return;
          await pool.apply(current.version, current.models, new AbortController().signal);
          await stores.machines.renew(lease, { polls: pool.polls(), planVersion: pool.planVersion() });
          await holdLease(machineId);
        },
        /** Its epoch passes while it works on, as after a freeze; `abortCalls` when the machine gets to know of it. */
        async takeNextEpoch({ abortCalls }: { abortCalls: boolean }): Promise<void> {
          lease = await stores.machines.register(machineId, { identity: `${machineId}/worker/0`, runsAs: 'simulated' });
          await stores.machines.renew(lease, { polls: pool.polls(), planVersion: pool.planVersion() });
          await holdLease(machineId);
          if (abortCalls) abort.abort(new Error('the lease passed to another epoch'));
          abort = new AbortController();
        },
        /** Stops polling and polls again, as when its model server was away. */
        async pollAnew(): Promise<void> {
          await pool.hold('the test');
          await pool.release('the test', new AbortController().signal);
        },
        async leave(): Promise<void> {
          if (!joined.includes(machine)) return;
          joined.splice(joined.indexOf(machine), 1);
          await pool.hold('the test ends');
          await own.close();
        },
      };
      joined.push(machine);
      return machine;
    },

    async reflect(
      agentId: string,
      period: string,
      trigger: ReflectAgentInput['trigger'] = 'call',
    ): Promise<WorkflowHandle & { result(): Promise<ReflectAgentResult> }> {
      const input: ReflectAgentInput = { agentId, period, trigger };
      return client.workflow.start('reflectAgent', {
        workflowId: reflectWorkflowId(agentId, period),
        taskQueue: coordinationQueue,
        args: [input],
        workflowTaskTimeout: '2 seconds',
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
      });
    },

    /** Says something to an agent; `messageId` to say it again. */
    async say(
      agentId: string,
      text: string,
      options: { messageId?: string; conversationId?: string; author?: string; whisper?: boolean } = {},
    ): Promise<WorkflowHandle & { messageId: string; result(): Promise<AnswerMessageResult> }> {
      const { messageId = newId('message') } = options;
      const input: AnswerMessageInput = {
        messageId,
        ownerId: testOwner,
        agentId,
        conversationId: options.conversationId ?? idOf('conversation', messageId.slice(4)),
        authorId: 'tok_test',
        author: options.author ?? 'Ada',
        text,
        contentHash: text,
        ...(options.whisper === undefined ? {} : { whisper: options.whisper }),
      };
      const handle = await client.workflow.start('answerMessage', {
        workflowId: messageWorkflowId(messageId),
        taskQueue: coordinationQueue,
        args: [input],
        workflowTaskTimeout: '2 seconds',
        workflowIdReusePolicy: WorkflowIdReusePolicy.REJECT_DUPLICATE,
      });
      return Object.assign(handle, { messageId });
    },

    async message(messageId: string) {
      return db.selectFrom('messages').selectAll().where('id', '=', messageId).executeTakeFirst();
    },

    async sweep(
      id: string,
      input: Partial<ReflectFleetInput> = {},
    ): Promise<WorkflowHandleWithFirstExecutionRunId & { result(): Promise<ReflectFleetResult> }> {
      return client.workflow.start('reflectFleet', {
        workflowId: `reflect-fleet:call-${id}`,
        taskQueue: coordinationQueue,
        args: [{ cadence: null, trigger: 'call', period: `call-${id}`, ...input } satisfies ReflectFleetInput],
        workflowTaskTimeout: '2 seconds',
      });
    },

    /** Receives a whisper; what it asks for is started by `spawn`. */
    async whisper(input: { parentId: string; text: string; requestId: string }) {
      const { spawning } = (await reader()).fleet;
      const whisper = { ...input, ownerId: testOwner, source: 'api' as const, requestedBy: 'test' };
      return db.transaction().execute((tx) => receiveWhisper(tx, whisper, spawning));
    },

    /** Starts the workflow of a whisper, as the relay does for its intent. */
    async spawn(
      whisperId: string,
    ): Promise<WorkflowHandleWithFirstExecutionRunId & { result(): Promise<SpawnPersonaResult> }> {
      await sql`delete from intents where workflow_id = ${spawnWorkflowId(whisperId)}`.execute(db);
      return client.workflow.start('spawnPersona', {
        workflowId: spawnWorkflowId(whisperId),
        taskQueue: coordinationQueue,
        args: [{ whisperId }],
        workflowTaskTimeout: '2 seconds',
        workflowIdReusePolicy: WorkflowIdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY,
      });
    },

    /** The run of an agent in a period, its last attempt. */
    async run(agentId: string, period: string) {
      return db
        .selectFrom('runs')
        .selectAll()
        .where('workflowId', '=', reflectWorkflowId(agentId, period))
        .orderBy('attempt', 'desc')
        .executeTakeFirst();
    },

    /** How the runs of a period stand, by agent. */
    async ends(period: string): Promise<Record<string, Ended>> {
      const rows = await db
        .selectFrom('runs')
        .select(['agentId', 'state', 'reason'])
        .where('period', '=', period)
        .execute();
      return Object.fromEntries(rows.map(({ agentId, ...end }) => [agentId, end]));
    },

    async openNotice(key: string) {
      return db
        .selectFrom('notices')
        .selectAll()
        .where('key', '=', key)
        .where('resolvedAt', 'is', null)
        .executeTakeFirst();
    },

    async close(): Promise<void> {
      await Promise.all([...joined].map((machine) => machine.leave()));
      worker.shutdown();
      await running;
      await native.close();
      await connection.close();
      await store.close();
    },
  };

  async function holdLease(machineId: string): Promise<void> {
    await sql`update machines set lease_until = 'infinity' where id = ${machineId}`.execute(db);
  }
  return stage;
}

type Stores = Omit<
  Parameters<typeof createBallotActivities>[0] &
    Parameters<typeof createBallotEffectActivities>[0] &
    Parameters<typeof createEgoActivities>[0] &
    Omit<Parameters<typeof createFleetHealthActivities>[0], 'schedules'> &
    Parameters<typeof createReflectionActivities>[0] &
    Parameters<typeof createMessageActivities>[0] &
    Parameters<typeof createCompareActivities>[0] &
    Parameters<typeof createSweepActivities>[0] &
    Parameters<typeof createThreadActivities>[0] &
    Parameters<typeof createConsolidationActivities>[0] &
    Parameters<typeof createDriftActivities>[0] &
    Parameters<typeof createInviteActivities>[0] &
    Parameters<typeof createJudgementActivities>[0] &
    Parameters<typeof createClusterActivities>[0] &
    Parameters<typeof createGlobeActivities>[0] &
    Parameters<typeof createSpawnActivities>[0] &
    Parameters<typeof createReconciliationActivities>[0] &
    Parameters<typeof createReadinessActivities>[0] &
    Parameters<typeof createRolloutActivities>[0] &
    Parameters<typeof createPaymentActivities>[0] &
    Parameters<typeof createPayoutActivities>[0] &
    Parameters<typeof createCompositionActivities>[0] &
    Parameters<typeof createDropActivities>[0] &
    Omit<Parameters<typeof createPurchaseActivities>[0], 'providers'>,
  'fleet' | 'embedderOf' | 'openClusterer' | 'placeOnSphere'
>;

function coordinationActivities(stores: Stores, fleet: ReturnType<typeof createFleetReader>) {
  return joinActivities(
    createBallotActivities({ ...stores, fleet }),
    createBallotEffectActivities(stores),
    createEgoActivities({ ...stores, fleet }),
    createFleetHealthActivities({ ...stores, schedules: () => readSchedules(stores.client) }),
    createSweepActivities({ ...stores, fleet }),
    createReflectionActivities({ ...stores, fleet }),
    createMessageActivities({ ...stores, fleet }),
    createCompareActivities(stores),
    createPlanActivities({ ...stores, reconcileSchedules: () => Promise.resolve() }),
    createDrainActivities(stores),
    createReconciliationActivities(stores),
    createReadinessActivities(stores),
    createRolloutActivities(stores),
    // Folders that a test made for itself.
    createMachineReadinessReads({ machineId: 'pc2', stores, fleet, folders: [tmpdir()] }),
    createPaymentActivities(stores),
    createPayoutActivities({ ...stores, fleet }),
    createPurchaseActivities({
      ...stores,
      providers: { stripe: createHostedPayments({ ...stores, name: 'stripe', fleet }) },
    }),
    createThreadActivities({ ...stores, fleet, embedderOf: () => hashedEmbedder }),
    createConsolidationActivities({ ...stores, fleet }),
    createDriftActivities({ ...stores, fleet, embedderOf: () => hashedEmbedder }),
    createInviteActivities({ ...stores, fleet }),
    createJudgementActivities({ ...stores, fleet }),
    createClusterActivities({ ...stores, fleet, openClusterer }),
    createEmbeddingActivities({ ...stores, fleet, embedderOf: () => hashedEmbedder }),
    createGlobeActivities({ ...stores, fleet, placeOnSphere }),
    createSpawnActivities({ ...stores, fleet, embedderOf: () => hashedEmbedder }),
    createCompositionActivities({ ...stores, fleet }),
    createDropActivities(stores),
  );
}
