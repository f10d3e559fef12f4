import { DomainError } from '../domain/errors.ts';
import { type Fleet, fleetSchema } from '../domain/fleet.ts';
import { createAgentStore } from '../stores/agents.ts';
import { createAuditStore } from '../stores/audit.ts';
import { createDeliveryStore } from '../stores/deliveries.ts';
import { createPublishingStore } from '../stores/publishing.ts';
import { createFleetStore } from '../stores/fleets.ts';
import { createInviteAnswerStore } from '../stores/invite-answers.ts';
import { createLoopPackageStore } from '../stores/loop-packages.ts';
import { createMachineStore } from '../stores/machines.ts';
import { createMachineJoinStore } from '../stores/machine-joins.ts';
import { createMailStore } from '../stores/mails.ts';
import { createMemoryStore } from '../stores/memories.ts';
import { createMemorySearch } from '../stores/memory-search.ts';
import { createMessageStore } from '../stores/messages.ts';
import { createPasswordStore } from '../stores/passwords.ts';
import { createPaymentEventStore } from '../stores/payment-events.ts';
import { createPayoutStore } from '../stores/payouts.ts';
import { createPersonaStore } from '../stores/personas.ts';
import { createPrincipalStore } from '../stores/principals.ts';
import { findFleet, type OwnFleet } from '../stores/queries/fleets.ts';
import { createRetirementStore } from '../stores/retirement.ts';
import { createRunStore } from '../stores/runs.ts';
import { createSigningKeyStore } from '../stores/signing-keys.ts';
import { createSpawnStore } from '../stores/spawns.ts';
import { createSweepStore } from '../stores/sweeps.ts';
import { createVoteStore } from '../stores/votes.ts';
import { createWebhookDeliveryStore } from '../stores/webhook-deliveries.ts';
import { createWorkStore } from '../stores/work.ts';
import { createSourceSecretStore } from '../stores/source-secrets.ts';
import { createSourceStore } from '../stores/sources.ts';
import { createPasswordHasher } from '../integrations/password-hash.ts';
import { createSigners } from '../integrations/signing.ts';
import { createFigures } from './figures.ts';
import { createScheduleReader } from './schedules.ts';
import type { ApiDeps } from './types.ts';
import { createInviteTeller } from './invite-signals.ts';
import { createTemporalLinks, createWorkflowLook } from './workflow-looks.ts';
import { createWorkflowStarter } from './workflow-starts.ts';

/** What every route is given: the connections, and the stores made over them once. */
export function createContext(deps: ApiDeps) {
  const limits = createLimitReader(deps);
  const principals = createPrincipalStore(deps.db);
  const signingKeys = createSigningKeyStore(deps.db);
  return {
    ...deps,
    principals,
    figures: createFigures(deps),
    signingKeys,
    signers: createSigners({
      keys: signingKeys,
      secretBox: deps.secretBox,
      file: deps.signingKey,
      operatorId: principals.firstOperator,
    }),
    agents: createAgentStore(deps.db),
    audit: createAuditStore(deps.db),
    machines: createMachineStore(deps.db),
    machineJoins: createMachineJoinStore(deps.db),
    fleets: createFleetStore(deps.db),
    mails: createMailStore(deps.db),
    memories: createMemoryStore(deps.db),
    inviteAnswers: createInviteAnswerStore(deps.db),
    tellInvites: createInviteTeller(deps),
    loopPackages: createLoopPackageStore(deps.db),
    messages: createMessageStore(deps.db),
    passwords: createPasswordStore(deps.db),
    passwordHasher: createPasswordHasher(),
    paymentEvents: createPaymentEventStore(deps.db),
    payouts: createPayoutStore(deps.db),
    personas: createPersonaStore(deps.db),
    runs: createRunStore(deps.db),
    sweeps: createSweepStore(deps.db),
    spawns: createSpawnStore(deps.db),
    retirement: createRetirementStore(deps.db),
    sources: createSourceStore(deps.db),
    sourceSecrets: createSourceSecretStore(deps.db),
    votes: createVoteStore(deps.db),
    webhookDeliveries: createWebhookDeliveryStore(deps.db),
    deliveries: createDeliveryStore(deps.db),
    publishing: createPublishingStore(deps.db),
    works: createWorkStore(deps.db),
    starter: createWorkflowStarter(deps.temporal, deps.log),
    lookAtWorkflow: createWorkflowLook(deps.temporal),
    linksTo: createTemporalLinks(deps),
    schedules: createScheduleReader(deps.temporal),
    memorySearch: createMemorySearch({
      db: deps.db,
      embedderOf: deps.embedderOf,
      settings: async (ownerId) => (await fleetOf(deps, ownerId)).fleet.embeddings,
      cacheBytes: async () => (await limits()).memoryCacheMiB * 2 ** 20,
      onFailure: (err) => deps.log.warn({ err }, 'memories searched by words alone'),
    }),
    requestsPerMinute: async () => (await limits()).requestsPerMinute,
  };
}
export type ApiContext = ReturnType<typeof createContext>;

/** @throws NOT_FOUND before the owner's first apply */
export async function fleetOf({ db }: Pick<ApiDeps, 'db'>, ownerId: string): Promise<OwnFleet> {
  const fleet = await findFleet(db, ownerId);
  if (!fleet) throw new DomainError('NOT_FOUND', 'no fleet.yaml has been applied yet');
  return fleet;
}

const limitKeptMs = 10_000;
type Limits = Fleet['limits'];

/** The limits of fleet.yaml, read every few seconds; the last known ones stay while Postgres is away. */
function createLimitReader(deps: ApiDeps): () => Promise<Limits> {
  const fleets = createFleetStore(deps.db);
  let known = fleetSchema.shape.limits.parse({});
  let readAt = 0;
  let reading: Promise<void> | undefined;

  async function read(): Promise<void> {
    try {
      known = (await fleets.current())?.fleet.limits ?? known;
    } catch (err) {
      deps.log.debug({ err }, 'limits not read again');
    } finally {
      readAt = Date.now();
      reading = undefined;
    }
  }

  return async () => {
    if (Date.now() - readAt >= limitKeptMs) {
      reading ??= read();
      // Judged by the default, a crowd right after a restart would be refused what the file allows.
      if (readAt === 0) await reading;
    }
    return known;
  };
}
