import { z } from 'zod';

/** Three letters and a UUIDv7; agents and machines are slugs of fleet.yaml instead. */
export const idPrefixes = {
  user: 'usr',
  token: 'tok',
  memory: 'mem',
  reflection: 'rfl',
  run: 'run',
  sweep: 'swp',
  notice: 'ntc',
  notification: 'ntf',
  thread: 'thr',
  ego: 'ego',
  whisper: 'whi',
  request: 'req',
  message: 'msg',
  conversation: 'cnv',
  driftRating: 'drt',
  driftSpace: 'dsp',
  cluster: 'cls',
  clusterRun: 'crn',
  sourceSecret: 'whs',
  ledgerAccount: 'lac',
  grant: 'grt',
  license: 'lic',
  licenseEvent: 'lev',
  loopPackage: 'lpk',
  listing: 'lst',
  purchase: 'pur',
  refund: 'rfd',
  payout: 'pyt',
  mail: 'mai',
  webhook: 'whk',
  webhookSecret: 'wsc',
  webhookEvent: 'evt',
  webhookDelivery: 'whd',
  ballot: 'blt',
  remark: 'rmk',
  channel: 'chn',
  drop: 'drp',
  delivery: 'dlv',
  dropSchedule: 'dsc',
  composition: 'cmp',
  guild: 'gld',
  guildMember: 'gmb',
  invite: 'inv',
  acceptance: 'acc',
  work: 'wrk',
  completion: 'cpl',
  rollout: 'rlt',
  machineInvite: 'min',
} as const;
export type IdKind = keyof typeof idPrefixes;

const uuidv7 = '[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}';

/** Joins a kind's prefix and a UUIDv7 made by the caller: the domain has no randomness. */
export function idOf(kind: IdKind, uuid: string): string {
  return `${idPrefixes[kind]}_${uuid}`;
}

export function idSchema(kind: IdKind) {
  return z
    .string()
    .regex(new RegExp(`^${idPrefixes[kind]}_${uuidv7}$`), `must be ${idPrefixes[kind]}_ followed by a UUIDv7`);
}

/** Agent and machine names of fleet.yaml. */
export const slugSchema = z
  .string()
  .max(63)
  .regex(
    /^[a-z][a-z0-9]*(?:-[a-z0-9]+)*$/,
    'must be lower-case letters, digits and single dashes, starting with a letter',
  );

/** Queue-safe names: Temporal's metrics replace every other character. */
export const nameSchema = z
  .string()
  .max(63)
  .regex(/^[a-z][a-z0-9_]*$/, 'must be lower-case letters, digits and underscores, starting with a letter');

/** `vesper-014`: the fourteenth agent of an archetype. */
export function agentId(archetypeId: string, ordinal: number): string {
  return `${archetypeId}-${String(ordinal).padStart(3, '0')}`;
}

/** Which of an archetype's agents an id names; none if it names no agent of it. */
export function ordinalOf(archetypeId: string, id: string): number | undefined {
  const ordinal = Number(/-(\d{3,6})$/.exec(id)?.[1] ?? Number.NaN);
  return ordinal >= 1 && agentId(archetypeId, ordinal) === id ? ordinal : undefined;
}

/**
 * The id of an agent born outside fleet.yaml, made from a name: lower-case words with dashes, at most 40 characters.
 * It never ends in a dash and a number, which only ids that an archetype makes do, so the two can never be the same.
 * @returns undefined where the name holds no letter of a to z
 */
export function bornAgentId(name: string): string | undefined {
  const words = name
    .normalize('NFKD')
    .replaceAll(/\p{M}/gu, '')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 40)
    .replace(/-+$/, '');
  if (words === '') return undefined;
  return /-\d+$/.test(words) ? `${words}th` : words;
}

export const fleetHealthWorkflowId = 'fleet-health';
export const healthLooksWorkflowId = 'fleet-health-looks';
export function replanWorkflowId(planVersion: number): string {
  return `replan:${planVersion}`;
}
export function drainWorkflowId(machineId: string, count: number): string {
  return `drain:${machineId}:${count}`;
}
/** `period` is an ISO time for a scheduled run, `call-<requestId>` for one asked for by hand, `importance-<memorySeq>` for one that was moved to. */
export function reflectWorkflowId(agentId: string, period: string): string {
  return `reflect:${agentId}:${period}`;
}
export function spawnWorkflowId(whisperId: string): string {
  return `spawn:${whisperId}`;
}
export function callPeriod(requestId: string): string {
  return `call-${requestId}`;
}
/** @param afterRunId the run that was open when the agent was moved, and has ended */
export function importancePeriod(memorySeq: number, afterRunId?: string): string {
  return `importance-${memorySeq}${afterRunId === undefined ? '' : `-after-${afterRunId}`}`;
}
export function messageWorkflowId(messageId: string): string {
  return `message:${messageId}`;
}
export function completionWorkflowId(requestId: string): string {
  return `completion:${requestId}`;
}
/** A Schedule appends its time to this id, so it starts only a sweep. */
export function sweepWorkflowId(cadence: string): string {
  return `reflect-fleet:${cadence}`;
}
export function reflectScheduleId(cadence: string): string {
  return `reflect-${cadence}`;
}

/** `period` is the Schedule's time, or `call-<requestId>`. */
export function driftWorkflowId(period: string): string {
  return `drift:${period}`;
}
export function judgeWorkflowId(ratingId: string): string {
  return `judge:${ratingId}`;
}
export function clusterWorkflowId(period: string): string {
  return `clusters:${period}`;
}
export function globeWorkflowId(period: string): string {
  return `globe:${period}`;
}
/** Of the globe that is asked for where none stands yet: one, whoever asks and however often. */
export const firstGlobePeriod = 'first';
/** Of the one before it, of what weighs most, while the rest is embedded. */
export const earlyGlobePeriod = `${firstGlobePeriod}-early`;

export const retentionScheduleId = 'retention';
export const embeddingScheduleId = 'embeddings';
export const sourcesScheduleId = 'sources';
/** `period` is the run of the sweep that found it due, or `call-<requestId>`. */
export function pollSourceWorkflowId(sourceId: string, period: string): string {
  return `poll-source:${sourceId}:${period}`;
}
export const consolidateScheduleId = 'consolidate';
export const weaveScheduleId = 'weave';
/** `period` is `call-<requestId>`; a Schedule appends its time to the Schedule's own id instead. */
export function weaveWorkflowId(period: string): string {
  return `weave:${period}`;
}
export const driftScheduleId = 'drift';
export const clusterScheduleId = 'clusters';
export const globeScheduleId = 'globe';
export const reconcileScheduleId = 'reconcile';
export const readinessScheduleId = 'readiness';
/** `period` is `call-<requestId>`; a Schedule appends its time to the Schedule's own id instead. */
export function readinessWorkflowId(period: string): string {
  return `readiness:${period}`;
}
export const backupScheduleId = 'backup';
export const restoreDrillScheduleId = 'restore-drill';
export const mirrorScheduleId = 'mirror';
/** `period` is `call-<requestId>`; a Schedule appends its time to the Schedule's own id instead. */
export function mirrorWorkflowId(period: string): string {
  return `mirror:${period}`;
}
/** One at a time: versions go from machine to machine in one order. */
export const modelSyncWorkflowId = 'sync-models';
export const paymentsScheduleId = 'payments';
/** `period` is `call-<requestId>`; a Schedule appends its time to the Schedule's own id instead. */
export function reconcileWorkflowId(period: string): string {
  return `reconcile:${period}`;
}
export function rolloutWorkflowId(rolloutId: string): string {
  return `rollout:${rolloutId}`;
}

/** Takes back a rollout that was done: its workflow has ended, and an id is used once. */
export function rollbackWorkflowId(rolloutId: string): string {
  return `rollout:${rolloutId}:rollback`;
}

/** The runs of readiness that rollouts ask for begin so. */
export const rolloutRunPrefix = 'rollout:';
/** What a package's rules are judged by: one run of readiness each time its steps are done. */
export function rolloutRunId(rolloutId: string, packageId: string, attempt: number): string {
  return `${rolloutRunPrefix}${rolloutId}:${packageId}:${attempt}`;
}

export function ballotWorkflowId(ballotId: string): string {
  return `ballot:${ballotId}`;
}
/** Asks one agent for its vote. */
export function askVoterWorkflowId(ballotId: string, agentId: string): string {
  return `vote:${ballotId}:${agentId}`;
}
export const egoScheduleId = 'ego';
export const licensesScheduleId = 'licenses';
export function purchaseWorkflowId(purchaseId: string): string {
  return `purchase:${purchaseId}`;
}
export const payoutsScheduleId = 'payouts';
export const blessingsScheduleId = 'blessings';
/** `eventId` is the provider's. */
export function paymentEventWorkflowId(provider: string, eventId: string): string {
  return `payment-event:${provider}:${eventId}`;
}
export function refundWorkflowId(refundId: string): string {
  return `refund:${refundId}`;
}
export function payoutWorkflowId(payoutId: string): string {
  return `payout:${payoutId}`;
}
/** @param resend how often a person has asked for it to be sent again, 0 at first */
export function mailWorkflowId(mailId: string, resend: number): string {
  return `mail:${mailId}${resend === 0 ? '' : `:again-${resend}`}`;
}
/** @param redelivery how often a person has asked for it again, 0 at first */
export function webhookDeliveryWorkflowId(deliveryId: string, redelivery: number): string {
  return `webhook:${deliveryId}${redelivery === 0 ? '' : `:again-${redelivery}`}`;
}
export function inviteWorkflowId(inviteId: string): string {
  return `invite:${inviteId}`;
}
/** @param again the post that a person asked for again, with how often: it is a workflow of its own */
export function dropWorkflowId(dropId: string, again?: { channelId: string; count: number }): string {
  return `drop:${dropId}${again === undefined ? '' : `:${again.channelId}:again-${again.count}`}`;
}
/** Starts or stops services. */
export function runServicesWorkflowId(requestId: string): string {
  return `run-services:${requestId}`;
}
export function compositionWorkflowId(compositionId: string): string {
  return `compose-drop:${compositionId}`;
}
export const dropsScheduleId = 'drops';
export const repliesScheduleId = 'replies';
export const notifyScheduleId = 'notify';
export const digestScheduleId = 'digest';
export const heartbeatScheduleId = 'heartbeat';
export function notificationWorkflowId(notificationId: string): string {
  return `notification:${notificationId}`;
}

export function workWorkflowId(workId: string): string {
  return `work:${workId}`;
}

/** Schedules that every fleet has, whatever it names. */
export const upkeepScheduleIds = [
  retentionScheduleId,
  embeddingScheduleId,
  consolidateScheduleId,
  weaveScheduleId,
  driftScheduleId,
  clusterScheduleId,
  globeScheduleId,
  reconcileScheduleId,
  paymentsScheduleId,
  payoutsScheduleId,
  blessingsScheduleId,
  egoScheduleId,
  dropsScheduleId,
  repliesScheduleId,
  licensesScheduleId,
  notifyScheduleId,
  readinessScheduleId,
  backupScheduleId,
  restoreDrillScheduleId,
] as const;
export type UpkeepScheduleId = (typeof upkeepScheduleIds)[number];

/** All that have a name of their own, also those that only some fleets have; those of reflections are named after their cadence. */
export const scheduleIds = [
  ...upkeepScheduleIds,
  sourcesScheduleId,
  digestScheduleId,
  heartbeatScheduleId,
  mirrorScheduleId,
] as const;
