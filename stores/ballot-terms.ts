import { type BallotEffect, type BallotSettings, ballotsSchema, effectReach } from '../domain/ballots.ts';
import { durationSeconds } from '../domain/durations.ts';
import { DomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';
import type { DatabaseTransaction, Executor } from './database.ts';
import { currentFleet } from './fleets.ts';
import { guildSettings, refuseSeats } from './guilds.ts';

/** `ballots` of the fleet in force; before the first apply its defaults. */
export async function ballotSettings(db: Executor): Promise<BallotSettings> {
  return (await currentFleet(db))?.fleet.ballots ?? ballotsSchema.parse({});
}

/** What an effect is asked for as: which draft of a whisper waits, and which words of a drop, the proposal finds out. */
export type AskedEffect =
  | Exclude<BallotEffect, { kind: 'spawn_approval' | 'drop_approval' }>
  | { kind: 'spawn_approval'; whisperId: string }
  | { kind: 'drop_approval'; dropId: string };

/** What a ballot is to be held under; shares in percent. */
interface Terms {
  discussionSeconds: number;
  voteSeconds: number;
  extensionSeconds: number;
  quorum: number;
  threshold: number;
}

interface AskedBallot extends Terms {
  ownerId: string;
  guildId: string | null;
  effect: AskedEffect;
  options: readonly string[];
}

/**
 * The effect as it is voted on. What could not be carried out any more by the time that the vote ends is not proposed, and what binds
 * a guild is decided under terms no laxer than those of fleet.yaml.
 * @throws NOT_FOUND · CONFLICT · INVALID_INPUT
 */
export async function effectToVoteOn(
  tx: DatabaseTransaction,
  ballot: AskedBallot,
  settings: BallotSettings,
): Promise<BallotEffect> {
  const { effect } = ballot;
  if (effectReach[effect.kind] === 'guild') {
    if (ballot.guildId === null) throw fieldError('guildId', 'must name the guild that decides', 'Add `guildId`.');
    refuseLax(ballot, settings);
  }
  switch (effect.kind) {
    case 'spawn_approval':
      return draftToVoteOn(tx, ballot, effect);
    case 'drop_approval':
      return wordsToVoteOn(tx, ballot, effect);
    case 'guild_rule':
      if (effect.rule.name === 'seats') refuseSeats(effect.rule.value, await guildSettings(tx), 'effect.rule.value');
      return effect;
    case 'none':
    case 'blessing_share':
    case 'guild_close':
      return effect;
  }
}

/** Else who proposes decides alone: with a vote of a second, of which nobody else hears. */
function refuseLax(terms: Terms, settings: BallotSettings): void {
  const least: Array<[field: string, is: number, least: number, written: string]> = [
    ['discussion', terms.discussionSeconds, durationSeconds(settings.discussion), settings.discussion],
    ['vote', terms.voteSeconds, durationSeconds(settings.vote), settings.vote],
    ['extension', terms.extensionSeconds, durationSeconds(settings.extension), settings.extension],
    ['quorum', terms.quorum, settings.quorum, String(settings.quorum)],
    ['threshold', terms.threshold, settings.threshold, String(settings.threshold)],
  ];
  for (const [field, is, must, written] of least)
    if (is < must) throw fieldError(field, `must be at least ${written} for what binds a guild`, 'Leave it out.');
}

async function draftToVoteOn(
  tx: DatabaseTransaction,
  { ownerId, discussionSeconds, voteSeconds }: AskedBallot,
  { whisperId }: { whisperId: string },
): Promise<BallotEffect> {
  const whisper = await tx
    .selectFrom('whispers')
    .select(['state', 'draft', 'deadline'])
    .where('id', '=', whisperId)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!whisper) throw new DomainError('NOT_FOUND', `no whisper ${whisperId}`);
  if (whisper.state !== 'awaiting_approval' || whisper.deadline === null)
    throw new DomainError('CONFLICT', `${whisperId} is ${whisper.state}; it does not wait for approval`);
  const left = Math.floor((whisper.deadline.getTime() - Date.now()) / 1000);
  if (discussionSeconds + voteSeconds >= left)
    throw fieldError(
      'vote',
      `must end, with the discussion, before ${whisperId} does: in ${left} s`,
      'Shorten the discussion or the vote.',
    );
  return { kind: 'spawn_approval', whisperId, draft: whisper.draft };
}

async function wordsToVoteOn(
  tx: DatabaseTransaction,
  { ownerId, options }: AskedBallot,
  { dropId }: { dropId: string },
): Promise<BallotEffect> {
  const drop = await tx
    .selectFrom('drops')
    .select(['state', 'version'])
    .where('id', '=', dropId)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!drop) throw new DomainError('NOT_FOUND', `no drop ${dropId}`);
  if (drop.state !== 'awaiting_approval')
    throw new DomainError('CONFLICT', `${dropId} is ${drop.state}; it does not wait for approval`);
  if (options.length !== 2)
    throw fieldError('options', 'must be two for a drop: the first lets it go, the second does not', 'Leave them out.');
  return { kind: 'drop_approval', dropId, version: drop.version };
}
