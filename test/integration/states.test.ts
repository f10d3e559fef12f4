import { auditPhases } from '../../domain/audit.ts';
import { compositionStates } from '../../domain/compositions.ts';
import { deliveryOutcomes } from '../../domain/deliveries.ts';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { judgementStates } from '../../domain/consistency.ts';
import { egoKinds } from '../../domain/ego.ts';
import { accountKinds, transferKinds } from '../../domain/ledger.ts';
import {
  byHand,
  disputeStates,
  paymentObjectKinds,
  paymentProviders,
  paymentStates,
  payoutStates,
  refundStates,
} from '../../domain/payments.ts';
import {
  agentOrigins,
  agentStates,
  backupStates,
  ballotStates,
  clusterStates,
  driftStates,
  gatewayRequestStates,
  guildActions,
  guildRoles,
  guildStates,
  healthKinds,
  healthStates,
  inviteStates,
  licenseStates,
  listingStates,
  machineStates,
  membershipEnds,
  memoryKinds,
  messageStates,
  planStates,
  purchaseStates,
  roles,
  rolloutPackageStates,
  rolloutStates,
  rolloutStepStates,
  serviceStates,
  serviceActions,
  serviceRunStates,
  runsAs,
  runStates,
  threadEnds,
  threadKinds,
  threadStates,
  channelStages,
  dropDeliveryStates,
  dropStates,
  workOutcomes,
  workStates,
} from '../../domain/states.ts';
import { voteOrigins, votingMethods } from '../../domain/ballots.ts';
import { guildRuleNames } from '../../domain/guild-rules.ts';
import { findingStates, readinessRunStates, findingSeverities, verdicts } from '../../domain/readiness.ts';
import { givenRoles } from '../../domain/guilds.ts';
import { inviteAnswerers, inviteTargets } from '../../domain/invites.ts';
import { mailStates, mailTemplates } from '../../domain/mails.ts';
import { notificationKinds, notificationStates } from '../../domain/notify.ts';
import { deliveryStates, webhookStates } from '../../domain/webhooks.ts';
import { licenseChanges } from '../../domain/licenses.ts';
import { signingKeySources } from '../../domain/signing-keys.ts';
import { workJoins } from '../../domain/work.ts';
import { whisperSources, whisperStates } from '../../domain/whispers.ts';
import { mirrorTargets } from '../../domain/public-mirror.ts';
import { openStoreScope, type StoreScope } from '../support/store-scope.ts';

let store: StoreScope;
beforeAll(async () => {
  store = await openStoreScope();
});
afterAll(() => store?.close());

/** Words that the database and the code must both know. */
const words: Record<string, readonly string[]> = {
  'audit_entries.actor_kind': ['bearer', 'session'],
  'audit_entries.phase': auditPhases,
  'audit_entries.role': roles,
  'agents.origin': agentOrigins,
  'agents.state': agentStates,
  'agent_drift.state': driftStates,
  'backups.state': backupStates,
  'restore_drills.state': backupStates,
  'mirror_runs.state': backupStates,
  'mirror_runs.target': mirrorTargets,
  'ballots.method': votingMethods,
  'ballots.state': ballotStates,
  'votes.origin': voteOrigins,
  'clusters.state': clusterStates,
  'drift_ratings.state': driftStates,
  'drift_judgements.state': judgementStates,
  'ego_entries.kind': egoKinds,
  'channels.stage': channelStages,
  'compositions.state': compositionStates,
  'deliveries.state': dropDeliveryStates,
  'delivery_attempts.outcome': deliveryOutcomes,
  'drops.state': dropStates,
  'health.subject_kind': healthKinds,
  'health.state': healthStates,
  'health.pending_state': healthStates,
  'health_changes.from_state': healthStates,
  'health_changes.to_state': healthStates,
  'guild_events.action': guildActions,
  'guild_members.ended_by': membershipEnds,
  'guild_members.role': guildRoles,
  'guilds.state': guildStates,
  'guild_rules.name': guildRuleNames,
  'notifications.kind': notificationKinds,
  'notifications.state': notificationStates,
  'guild_invites.role': givenRoles,
  'guild_invites.state': inviteStates,
  'guild_invites.target': inviteTargets,
  'guild_invites.waits_for': inviteAnswerers,
  'license_events.change': licenseChanges,
  'licenses.state': licenseStates,
  'listings.state': listingStates,
  'purchases.state': purchaseStates,
  'signing_keys.source': signingKeySources,
  'embedding_models.state': ['serving', 'building'],
  'ledger_accounts.kind': accountKinds,
  'ledger_transfers.kind': transferKinds,
  'machines.runs_as': runsAs,
  'machines.state': machineStates,
  'mails.state': mailStates,
  'mails.template': mailTemplates,
  'memories.kind': memoryKinds,
  'messages.state': messageStates,
  'payment_events.object_kind': paymentObjectKinds,
  'payments.state': paymentStates,
  'payouts.provider': [...paymentProviders, byHand],
  'payouts.state': payoutStates,
  'plans.state': planStates,
  'refunds.state': refundStates,
  'disputes.state': disputeStates,
  'readiness_findings.severity': findingSeverities,
  'readiness_findings.state': findingStates,
  'readiness_runs.state': readinessRunStates,
  'readiness_runs.verdict': verdicts,
  'rollouts.state': rolloutStates,
  'rollout_packages.state': rolloutPackageStates,
  'rollout_packages.undo_to': ['failed', 'undone'],
  'rollout_steps.phase': ['steps', 'undo'],
  'rollout_steps.state': rolloutStepStates,
  'runs.state': runStates,
  'services.state': serviceStates,
  'gateway_requests.state': gatewayRequestStates,
  'service_runs.action': serviceActions,
  'service_runs.state': serviceRunStates,
  'service_runs.wanted': ['running', 'stopped'],
  'sweeps.state': ['running', 'done', 'canceled'],
  'threads.ended_by': threadEnds,
  'threads.kind': threadKinds,
  'threads.state': threadStates,
  'tokens.role': roles,
  'users.role': roles,
  'webhooks.state': webhookStates,
  'webhook_deliveries.state': deliveryStates,
  'whispers.source': whisperSources,
  'whispers.state': whisperStates,
  'works.joins': workJoins,
  'works.state': workStates,
  'work_attempts.outcome': workOutcomes,
};

test('states are the same words in the code and in the checks of the database', async () => {
  const { rows } = await sql<{ place: string; definition: string }>`
    select c.conrelid::regclass || '.' || a.attname as place, pg_get_constraintdef(c.oid) as definition
    from pg_constraint c join pg_attribute a on a.attrelid = c.conrelid and a.attnum = c.conkey[1]
    where c.contype = 'c' and cardinality(c.conkey) = 1 and pg_get_constraintdef(c.oid) like '%= ANY (ARRAY[%'`.execute(
    store.db,
  );
  const checks = Object.fromEntries(
    rows.map(({ place, definition }) => [place, [...definition.matchAll(/'([^']*)'::text/g)].map(([, word]) => word)]),
  );
  expect(checks).toMatchObject(words);
  const states = Object.keys(checks).filter((place) => place.endsWith('.state'));
  expect(states.filter((place) => !(place in words))).toEqual([]);
});
