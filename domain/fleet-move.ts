import { z } from 'zod';
import type { WorkflowType } from './workflow-window.ts';

/** A fleet that moves takes its rows along and begins with a new Temporal: how what was under way there goes on. */

/**
 * by_schedule: the next start of its Schedule takes up what is due. by_worker: workers begin it. by_parent: who began it begins anew, and
 * begins it. asked: it begins anew under its id with its own input, and goes on from its rows. over: who waited for it is gone.
 */
export const waysToGoOn = ['by_schedule', 'by_worker', 'by_parent', 'asked', 'over'] as const;
export type WayToGoOn = (typeof waysToGoOn)[number];

const ways: Readonly<Record<WorkflowType, WayToGoOn>> = {
  answerMessage: 'asked',
  applyRetention: 'by_schedule',
  askVoter: 'by_parent',
  assessReadiness: 'asked',
  backUp: 'by_schedule',
  checkFleetHealth: 'by_worker',
  clusterAgents: 'asked',
  collectReplies: 'by_schedule',
  completeChat: 'over',
  composeDrop: 'asked',
  composeDrops: 'by_schedule',
  consolidateMemories: 'by_schedule',
  deliverWebhook: 'asked',
  drainMachine: 'asked',
  drillRestore: 'by_schedule',
  expireLicenses: 'by_schedule',
  holdBallot: 'asked',
  inviteToGuild: 'asked',
  judgeDrift: 'asked',
  judgeFleetHealth: 'by_worker',
  mirrorPublic: 'asked',
  payOutCreator: 'asked',
  payOutCreators: 'by_schedule',
  placeGlobe: 'asked',
  pollSource: 'asked',
  pollSources: 'by_schedule',
  publishDrop: 'asked',
  purchaseLicense: 'asked',
  rateDrift: 'asked',
  reconcileLedger: 'asked',
  reembedMemories: 'by_schedule',
  reflectAgent: 'asked',
  reflectFleet: 'asked',
  replanFleet: 'asked',
  resumePayments: 'by_schedule',
  rollOut: 'asked',
  runServices: 'asked',
  runWork: 'asked',
  sendDigest: 'by_schedule',
  sendHeartbeat: 'by_schedule',
  sendMail: 'asked',
  sendNotification: 'asked',
  settleEgo: 'by_schedule',
  settlePaymentEvent: 'asked',
  settleRefund: 'asked',
  shareBlessings: 'by_schedule',
  spawnPersona: 'asked',
  syncModels: 'asked',
  tellNotices: 'by_schedule',
  weaveMemories: 'asked',
};

/** @returns undefined for a type that this version does not know */
export function wayToGoOn(open: { type: string; scheduled: boolean; hasParent: boolean }): WayToGoOn | undefined {
  const { type, scheduled, hasParent } = open;
  if (!Object.hasOwn(ways, type)) return undefined;
  // Its period is its Schedule's, which a start of our own has not.
  if (scheduled) return 'by_schedule';
  return hasParent ? 'by_parent' : ways[type as WorkflowType];
}

/** Of an archive of a fleet that moves: what its new Temporal is to begin, beside what its rows say. */
export const movedWorkflowsSchema = z.array(
  z.object({ workflowId: z.string().min(1), type: z.string().min(1), args: z.array(z.unknown()) }),
);
export type MovedWorkflows = z.infer<typeof movedWorkflowsSchema>;
