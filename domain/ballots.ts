import { z } from 'zod';
import { durationSchema, durationSeconds } from './durations.ts';
import { guildRuleSchema } from './guild-rules.ts';
import { idSchema } from './ids.ts';

/** How votes are given and counted: domain/tallies.ts. */
export const votingMethods = ['single', 'approval', 'weighted', 'quadratic', 'ranked'] as const;
export type VotingMethod = (typeof votingMethods)[number];

export const ballotLimits = {
  titleChars: 200,
  textChars: 8_000,
  optionChars: 200,
  options: 10,
  reasonChars: 500,
  remarkChars: 2_000,
  /** Remarks that one author may make on a ballot in an hour. */
  remarksPerHour: 30,
  /** Shares of a weighted or quadratic vote are whole numbers up to this; only their ratio counts. */
  share: 1_000_000,
  /** Memories that a vote may name. */
  evidence: 12,
  /** Before a whisper ends nobody is let in any more: what was decided is to be said to it in time, in milliseconds. */
  wordBeforeMs: 60_000,
  /** Agents that one ballot may ask through inference. */
  asked: 20,
  /** Seconds of the longest discussion and of the longest vote: two years. */
  seconds: 730 * 86_400,
} as const;

const percent = z.int().min(0).max(100);
/** A time that may be none. */
export const pauseSchema = z
  .string()
  .regex(/^(0s|[1-9]\d{0,4}[smhd])$/, 'must be a number and s, m, h or d, such as 3d, or 0s')
  .refine((text) => durationSeconds(text) <= ballotLimits.seconds, longest());
export const voteTimeSchema = durationSchema.refine((text) => durationSeconds(text) <= ballotLimits.seconds, longest());
function longest() {
  return { error: 'must be at most 730d', params: { mend: 'Write 730d or less.' } };
}

/** `ballots` of fleet.yaml: what a proposal takes where it says nothing else, and the limits of voting. */
export const ballotsSchema = z.strictObject({
  /** How long remarks are exchanged before the vote opens. */
  discussion: pauseSchema.default('1d'),
  vote: voteTimeSchema.default('3d'),
  /** Time that is left at the least when the quorum is reached; once. */
  extension: pauseSchema.default('1d'),
  /** Percent of the electorate's weight that must take part; an abstention that was said takes part. */
  quorum: percent.default(20),
  /** Percent of the weight that chose which the leading option must have. */
  threshold: percent.min(1).default(50),
  /** Percent of all weight that one lineage may have. */
  lineageShare: percent.min(1).default(10),
  /** Agents a ballot asks through inference; 0: none. */
  askedAgents: z.int().min(0).max(ballotLimits.asked).default(ballotLimits.asked),
  /** Votes, changes included, of one voter on one ballot in an hour. */
  votesPerHour: z.int().min(1).max(10_000).default(20),
});
export type BallotSettings = z.infer<typeof ballotsSchema>;

/**
 * What a passed ballot does, by kind. One more kind is one schema here and one handler in activities/ballot-effects.ts, which
 * does not compile without it.
 */
export const effectSchemas = {
  /** The ballot is asked for its outcome alone. */
  none: z.strictObject({ kind: z.literal('none') }),
  /** Lets the persona that a whisper waits with be born: the draft that was shown when it was proposed. */
  spawn_approval: z.strictObject({
    kind: z.literal('spawn_approval'),
    whisperId: idSchema('whisper'),
    draft: z.int().min(1),
  }),
  /** Shares the blessing pool out at once, beside its Schedule. */
  blessing_share: z.strictObject({ kind: z.literal('blessing_share') }),
  /** Says yes or no to the drop that waits for a word, in the words that it had when it was proposed. */
  drop_approval: z.strictObject({
    kind: z.literal('drop_approval'),
    dropId: idSchema('drop'),
    version: z.int().min(1),
  }),
  /** A rule of the guild whose members vote. */
  guild_rule: z.strictObject({ kind: z.literal('guild_rule'), rule: guildRuleSchema }),
  /** Closes the guild whose members vote. */
  guild_close: z.strictObject({ kind: z.literal('guild_close') }),
} as const;
export type EffectKind = keyof typeof effectSchemas;
export type BallotEffect = z.infer<(typeof effectSchemas)[EffectKind]>;
export type EffectOf<Kind extends EffectKind> = z.infer<(typeof effectSchemas)[Kind]>;
export const effectKinds = Object.keys(effectSchemas) as [EffectKind];
export const effectSchema = z.discriminatedUnion('kind', [
  effectSchemas.none,
  effectSchemas.spawn_approval,
  effectSchemas.blessing_share,
  effectSchemas.drop_approval,
  effectSchemas.guild_rule,
  effectSchemas.guild_close,
]);

/** Whom an effect binds: nobody; the guild whose members vote; or the fleet, so that it is an operator's to propose. */
export const effectReach: Readonly<Record<EffectKind, 'nobody' | 'guild' | 'fleet'>> = {
  none: 'nobody',
  spawn_approval: 'fleet',
  blessing_share: 'fleet',
  drop_approval: 'fleet',
  guild_rule: 'guild',
  guild_close: 'guild',
};

/**
 * The option that has to win for a ballot to pass: with an effect the first. Of a drop whichever wins is carried out: the first of its
 * two options says yes, the second no.
 */
export function optionToWin(kind: EffectKind): number | null {
  return kind === 'none' || kind === 'drop_approval' ? null : 1;
}

/**
 * Who stands behind a vote. person: its voter, or the owner of the agent. model: the agent, through inference. absent: the rule,
 * for an agent that was asked and could not be reached; it takes no part in the quorum.
 */
export const voteOrigins = ['person', 'model', 'absent'] as const;
export type VoteOrigin = (typeof voteOrigins)[number];

/** Why a ballot ended without passing. */
export const ballotReasons = ['', 'NO_QUORUM', 'NO_VOTES', 'TIED', 'UNDER_THRESHOLD', 'AGAINST', 'WITHDRAWN'] as const;
export type BallotReason = (typeof ballotReasons)[number];

export function ballotStep(agentId: string): string {
  return `vote-${agentId}`;
}
