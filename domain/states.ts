/** The same words as the SQL checks in stores/migrations. */
export const machineStates = ['ready', 'suspect', 'lost', 'draining', 'drained'] as const;
export type MachineState = (typeof machineStates)[number];
/** A machine in one of these takes work: plans count on it until it is judged lost or taken out of service. */
export const inServiceStates = ['ready', 'suspect'] as const satisfies readonly MachineState[];
export function isInService({ state }: { state: MachineState }): boolean {
  return (inServiceStates as readonly MachineState[]).includes(state);
}

/** dormant: brought along by a creator to be sold; it is kept, and no plan, sweep or model works for it. */
export const agentStates = ['active', 'parked', 'dormant', 'retired'] as const;
export type AgentState = (typeof agentStates)[number];

/** Who gave birth to an agent: fleet.yaml, a whisper, or a file that was imported. */
export const agentOrigins = ['fleet', 'spawn', 'import'] as const;
export type AgentOrigin = (typeof agentOrigins)[number];

export const runStates = ['queued', 'running', 'parked', 'done', 'empty', 'failed', 'canceled'] as const;
export type RunState = (typeof runStates)[number];
/** A run in one of these never changes again. */
export const endedRunStates = ['done', 'empty', 'failed', 'canceled'] as const satisfies readonly RunState[];

/** What is judged, each by rules of its own. */
export const healthKinds = [
  'agent',
  'machine',
  'worker',
  'model_server',
  'schedule',
  'channel',
  'ledger',
  'disk',
  'backup',
  'certificate',
  'service',
  'token',
  'mirror',
  'archive',
] as const;
export type HealthKind = (typeof healthKinds)[number];
/** The worst first. not_set_up: there is nothing to judge yet. */
export const healthStates = ['lost', 'failing', 'late', 'not_set_up', 'ok'] as const;
export type HealthState = (typeof healthStates)[number];

/** Of what a service asks of a model; nothing of it is kept once it has been answered. */
export const gatewayRequestStates = ['open', 'answered', 'failed'] as const;
export type GatewayRequestState = (typeof gatewayRequestStates)[number];

/** Of a backup, of a drill of restoring one, and of a copy of what is public. */
export const backupStates = ['running', 'done', 'failed'] as const;
export type BackupState = (typeof backupStates)[number];

/** unknown: nothing has looked at it yet. */
export const serviceStates = ['unknown', 'starting', 'up', 'down', 'stopped'] as const;
export type ServiceState = (typeof serviceStates)[number];

/** held: packages failed, and what is left waits for them. */
export const rolloutStates = ['running', 'paused', 'held', 'rolling_back', 'done', 'rolled_back'] as const;
export type RolloutState = (typeof rolloutStates)[number];

/** failed: taken back after a failure; undone: by a rollback; stuck: its undo failed. */
export const rolloutPackageStates = [
  'waiting',
  'running',
  'verifying',
  'done',
  'undoing',
  'failed',
  'undone',
  'stuck',
  'skipped',
] as const;
export type RolloutPackageState = (typeof rolloutPackageStates)[number];

/** waiting: for a person; doubtful: nobody knows whether it was done to its end. */
export const rolloutStepStates = ['running', 'waiting', 'done', 'failed', 'doubtful'] as const;
export type RolloutStepState = (typeof rolloutStepStates)[number];
/** What starting and stopping a service has come to; whether it does its work is its ServiceState. */
export const serviceRunStates = ['waiting', 'starting', 'started', 'stopping', 'stopped', 'failed'] as const;
export type ServiceRunState = (typeof serviceRunStates)[number];
export const serviceActions = ['start', 'stop', 'restart'] as const;
export type ServiceAction = (typeof serviceActions)[number];

export const messageStates = ['received', 'answering', 'answered', 'failed', 'canceled'] as const;
export type MessageState = (typeof messageStates)[number];
/** A message in one of these never changes again. */
export const endedMessageStates = ['answered', 'failed', 'canceled'] as const satisfies readonly MessageState[];
export function isEndedMessage({ state }: { state: MessageState }): boolean {
  return (endedMessageStates as readonly MessageState[]).includes(state);
}

export const planStates = ['planned', 'applying', 'applied', 'superseded'] as const;
export type PlanState = (typeof planStates)[number];

/** Where a machine's calls go: its own server, a server elsewhere that it only fronts, or none. */
export const runsAs = ['local', 'remote', 'simulated'] as const;
export type RunsAs = (typeof runsAs)[number];

export const roles = ['operator', 'creator', 'member', 'reader'] as const;
export type Role = (typeof roles)[number];

export const memoryKinds = [
  'observation',
  'reflection',
  'whisper',
  'conversation',
  'reply',
  'drop',
  'vote',
  'sale',
] as const;
export type MemoryKind = (typeof memoryKinds)[number];
/** What happened to an agent, unlike what it made of it: only this makes a reflection due. */
export function isLived(kind: MemoryKind): boolean {
  return kind !== 'reflection';
}

/** What links memories of different agents. */
export const threadKinds = ['same_event', 'echo', 'contradiction'] as const;
export type ThreadKind = (typeof threadKinds)[number];

export const threadStates = ['live', 'ended'] as const;
export type ThreadState = (typeof threadStates)[number];
/** quiet: nothing came for long. merged: it turned out to be part of another. emptied: what it linked was taken away. */
export const threadEnds = ['quiet', 'merged', 'emptied'] as const;
export type ThreadEnd = (typeof threadEnds)[number];

/** How an agent's recent outputs stand to its persona; what is not rated yet is calm. */
export const driftStates = ['calm', 'drifting', 'estranged'] as const;
export type DriftState = (typeof driftStates)[number];

export const clusterStates = ['living', 'merged', 'gone'] as const;
export type ClusterState = (typeof clusterStates)[number];

/** What stands against a holder's right to use a package; a revoked license stays so. */
export const licenseStates = ['pending', 'active', 'suspended', 'revoked', 'expired', 'used_up'] as const;
export type LicenseState = (typeof licenseStates)[number];

export const listingStates = ['draft', 'listed', 'paused', 'retired'] as const;
export type ListingState = (typeof listingStates)[number];

/** authorized: the money is set aside. captured: it is taken, and from there on it only goes forward. */
export const purchaseStates = ['pending', 'authorized', 'captured', 'completed', 'canceled', 'failed'] as const;
export type PurchaseState = (typeof purchaseStates)[number];

/** passed: its effect is still to be carried out, or it has none. */
export const ballotStates = [
  'discussion',
  'open',
  'passed',
  'rejected',
  'no_quorum',
  'carried_out',
  'effect_failed',
] as const;
export type BallotState = (typeof ballotStates)[number];
/** A ballot in one of these takes no vote yet, or still does. */
export const openBallotStates = ['discussion', 'open'] as const satisfies readonly BallotState[];
/** A channel begins in dry run; each step on is an operator's act. */
export const channelStages = ['dry_run', 'approval', 'free'] as const;
export type ChannelStage = (typeof channelStages)[number];

export const dropStates = [
  'draft',
  'awaiting_approval',
  'scheduled',
  'publishing',
  'published',
  'partly_published',
  'failed',
  'canceled',
] as const;
export type DropState = (typeof dropStates)[number];

/** Of one drop on one channel. unconfirmed: it left and no answer came; a person says what is true. */
export const dropDeliveryStates = ['pending', 'sending', 'published', 'failed', 'unconfirmed'] as const;
export type DropDeliveryState = (typeof dropDeliveryStates)[number];

export const guildStates = ['open', 'closed'] as const;
export type GuildState = (typeof guildStates)[number];

export const guildRoles = ['founder', 'elder', 'member', 'guest'] as const;
export type GuildRole = (typeof guildRoles)[number];

/** closed: with the guild. */
export const membershipEnds = ['left', 'expelled', 'closed'] as const;
export type MembershipEnd = (typeof membershipEnds)[number];

/** What the audit trail of a guild tells. */
export const guildActions = [
  'founded',
  'renamed',
  'resized',
  'joined',
  'left',
  'expelled',
  'appointed',
  'transferred',
  'closed',
  'invited',
  'resent',
  'declined',
  'revoked',
  'expired',
  /** A ballot of its members has given it a rule. */
  'ruled',
] as const;
export type GuildAction = (typeof guildActions)[number];

export const inviteStates = ['pending', 'accepted', 'declined', 'revoked', 'expired', 'used_up'] as const;
export type InviteState = (typeof inviteStates)[number];

/** Of work for a service. running: a claimer has it; what a Temporal worker of the owner's does is queued until it ends. */
export const workStates = ['queued', 'running', 'completed', 'failed', 'expired', 'canceled'] as const;
export type WorkState = (typeof workStates)[number];
/** Work in one of these never changes again. */
const endedWorkStates = ['completed', 'failed', 'expired', 'canceled'] as const satisfies readonly WorkState[];
export function isEndedWork(state: WorkState): boolean {
  return (endedWorkStates as readonly WorkState[]).includes(state);
}

/** Of one claim. lost: its lease ran out before an answer came. */
export const workOutcomes = ['completed', 'failed', 'lost', 'expired', 'canceled'] as const;
export type WorkOutcome = (typeof workOutcomes)[number];
