import { cutText, type DropWords, plainPost, withoutMentions } from '../../domain/channel-texts.ts';
import { type Asked, fieldsOf, unpublished } from './asking.ts';
import type { PostAnswer } from './channel.ts';

/** Counted in UTF-16 units, of which there are never fewer than of any other. */
const mostUnits = 2_000;

export function discordText(words: DropWords): string {
  return cutText(withoutMentions(plainPost(words)), (text) => text.length <= mostUnits);
}

/** Nobody is called by what a model wrote, whatever stands in it; links show no pictures of others. */
export const discordSafety = { allowed_mentions: { parse: [] }, flags: 1 << 2 } as const;

/** After many of these Discord bars the whole address for a while, so that none of them is asked for twice. */
const discordStops = [401, 403, 404] as const;

/** What an answer that is no post means there. Its global limit is of all that this bot, or this address, sends anywhere. */
export function discordUnpublished(asked: Asked): PostAnswer {
  const answer = unpublished(asked, { stopOn: discordStops });
  if (asked.kind !== 'reply' || asked.status !== 429) return answer;
  const ofService = asked.headers['x-ratelimit-global'] === 'true' || fieldsOf(asked.json)['global'] === true;
  return ofService ? { ...answer, ofService } : answer;
}
