import type { InviteState } from './states.ts';

/** What becomes of an invitation and when. Pure: the stores judge by it under the invitation's row, workflows/invite-to-guild.ts keeps the clock. */

export const inviteTargets = ['agent', 'user', 'address', 'link'] as const;
export type InviteTarget = (typeof inviteTargets)[number];

/** Who answers for an agent that is invited: itself through its model, or its owner. */
export const inviteAnswerers = ['agent', 'owner'] as const;
export type InviteAnswerer = (typeof inviteAnswerers)[number];

/** In seconds. Links may also be without an end. */
export const inviteLife = { least: 60, usual: 7 * 86_400, most: 30 * 86_400 } as const;
export const inviteUses = { least: 1, most: 100 } as const;
export const inviteMessageChars = 500;
/** Times that one invitation is sent again. */
export const mostResends = 5;
/** Invitations and reminders that one address is mailed in 24 hours, whoever sends them: it did not ask for any. */
export const mostMailsPerAddress = 6;

/** Tells the workflow of an invitation to read its row again. */
export const inviteChangedSignal = 'inviteChanged';

/** Whom there is nobody to remind of has no reminders: a link. Of its life so much has passed at each. */
const reminderShares = [0.5, 0.9] as const;

/** Milliseconds since the epoch. */
export interface InviteTimes {
  target: InviteTarget;
  createdAt: number;
  expiresAt: number | null;
  /** Reminders that were sent. */
  reminders: number;
}

export type InviteTurn =
  | { kind: 'expire' }
  /** The how-manieth it is; those that were missed are not made up for. */
  | { kind: 'remind'; reminder: number }
  /** null: nothing is due, ever. */
  | { kind: 'wait'; until: number | null };

/** What is due for an open invitation. */
export function inviteTurn({ target, createdAt, expiresAt, reminders }: InviteTimes, now: number): InviteTurn {
  if (expiresAt === null) return { kind: 'wait', until: null };
  if (now >= expiresAt) return { kind: 'expire' };
  if (target === 'link') return { kind: 'wait', until: expiresAt };
  const dueAt = reminderShares.map((share) => createdAt + Math.ceil((expiresAt - createdAt) * share));
  const reminder = dueAt.filter((at) => at <= now).length;
  if (reminder > reminders) return { kind: 'remind', reminder };
  return { kind: 'wait', until: dueAt[reminder] ?? expiresAt };
}

/** Why an invitation can be used no more; undefined where it can. The clock is the database's, whether its workflow is late or not. */
export function deadBecause(
  { state, expiresAt }: { state: InviteState; expiresAt: number | null },
  now: number,
): string | undefined {
  if (state !== 'pending') return `is ${state.replace('_', ' ')}`;
  return expiresAt !== null && now >= expiresAt ? 'is expired' : undefined;
}

/** What an invitation becomes by one more use. */
export function stateAfterUse({
  target,
  uses,
  usesLimit,
}: {
  target: InviteTarget;
  /** With this one. */
  uses: number;
  usesLimit: number | null;
}): InviteState {
  if (target !== 'link') return 'accepted';
  return usesLimit !== null && uses >= usesLimit ? 'used_up' : 'pending';
}

/** What an agent that joins remembers of it. */
export function joinedMemory({ guild, role, inviter }: { guild: string; role: string; inviter: string }): string {
  return `I joined the guild "${guild}" as ${role}, invited by ${inviter}.`;
}
export const joinedImportance = 6;
/** `source` of what agents remember of guilds; it names people, so it never goes into a loop package. */
export const guildMemorySource = 'guild';

/** The step that an agent's own answer is stored under. */
export const answerStep = 'answer';
export interface AgentAnswer {
  accepts: boolean;
  reason: string;
  modelId: string;
  promptVersion: string;
  tokens: number;
}
