import { z } from 'zod';
import { anyChoiceSchema } from '../domain/ballot-choices.ts';
import {
  ballotLimits,
  ballotReasons,
  effectKinds,
  effectSchema,
  effectSchemas,
  voteOrigins,
  votingMethods,
} from '../domain/ballots.ts';
import { idSchema } from '../domain/ids.ts';
import { ballotStates } from '../domain/states.ts';
import { linksSchema, textSchema, timeSchema } from './schemas.ts';

/** Pieces that the routes of ballots share. */

export const ballotParams = z.strictObject({ id: idSchema('ballot') });
const optionSchema = textSchema(ballotLimits.optionChars);
export const optionsSchema = z.array(optionSchema).min(2).max(ballotLimits.options);
/** Which draft of a whisper waits, and which words of a drop, is found out as it is proposed. */
export const askedEffectSchema = z
  .discriminatedUnion('kind', [
    effectSchemas.none,
    effectSchemas.spawn_approval.omit({ draft: true }),
    effectSchemas.blessing_share,
    effectSchemas.drop_approval.omit({ version: true }),
    effectSchemas.guild_rule,
    effectSchemas.guild_close,
  ])
  .describe(`Carried out where the first option wins: ${effectKinds.join(', ')}`);
export const choiceBodySchema = anyChoiceSchema
  .nullable()
  .describe('By method: a number; a list of numbers; shares by number. null: abstains');

const microEgo = (what: string) => z.number().describe(`Micro-ego ${what}`);
const kindSchema = z.enum(['agent', 'user']);

export const tallySchema = z
  .object({
    method: z.enum(votingMethods),
    scores: z.array(z.number()).describe('Micro-ego by option; ranked: of the last round'),
    base: microEgo('that the shares are of'),
    abstained: microEgo('that abstained'),
    voters: z.int().describe('Counted, abstentions and those who follow another included'),
    leader: z.int().nullable().describe('Option ahead of every other'),
    rounds: z.array(z.object({ scores: z.array(z.number()), eliminated: z.int().nullable(), exhausted: z.number() })),
  })
  .meta({ id: 'Tally' });

export const ballotSchema = z
  .object({
    id: idSchema('ballot'),
    guildId: idSchema('guild').nullable().describe('Whose members vote; null: all living agents of the owner'),
    authorKind: kindSchema,
    authorId: z.string(),
    title: z.string(),
    text: z.string(),
    method: z.enum(votingMethods),
    options: z.array(z.string()).describe('Numbered from 1'),
    effect: effectSchema,
    state: z.enum(ballotStates),
    reasonCode: z.enum(ballotReasons).describe('Why it did not pass'),
    reason: z.string().describe('What its effect came to, or why it failed'),
    quorum: z.int().describe('Percent of the weight that must take part'),
    threshold: z.int().describe('Percent of what was chosen that must be for the winner'),
    lineageShare: z.int().describe('Percent of the weight that one lineage may have'),
    createdAt: timeSchema,
    opensAt: timeSchema,
    openedAt: timeSchema.nullable(),
    closesAt: timeSchema.nullable(),
    extendedAt: timeSchema.nullable().describe('When a late quorum moved the end'),
    weight: microEgo('of the electorate').nullable(),
    present: microEgo('of those who take part'),
    tally: tallySchema.nullable().describe('Once it has closed'),
    winner: z.int().nullable(),
    closedAt: timeSchema.nullable(),
    endedAt: timeSchema.nullable(),
    links: linksSchema,
  })
  .meta({ id: 'Ballot' });

export const voterSchema = z
  .object({
    voterId: z.string(),
    voterKind: kindSchema,
    lineageId: z.string(),
    ego: microEgo('held as the vote opened'),
    weight: microEgo('that counts, after its lineage was held to its share'),
    asked: z.boolean().describe('Through inference'),
    follows: z.string().nullable().describe('Whose vote counts for it while it has none of its own'),
    hasVoted: z.boolean(),
    choice: anyChoiceSchema.nullable(),
    reason: z.string(),
    evidence: z.array(z.string()).describe('Ids of memories'),
    origin: z.enum(voteOrigins).nullable().describe('absent: was asked and could not be reached'),
    modelId: z.string().nullable(),
    changedAt: timeSchema.nullable(),
  })
  .meta({ id: 'Voter' });

export const remarkSchema = z
  .object({
    id: idSchema('remark'),
    ballotId: idSchema('ballot'),
    authorKind: kindSchema,
    authorId: z.string(),
    text: z.string(),
    saidAt: timeSchema,
  })
  .meta({ id: 'Remark' });
