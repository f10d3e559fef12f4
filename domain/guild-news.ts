import type { GuildAction } from './states.ts';

/** What happened in a guild, as its audit trail has it. */
export interface GuildNews {
  action: GuildAction;
  guild: string;
  /** Who did it; null: time or a rule did. */
  actorName: string | null;
  /** Whom it was done to; null: nobody. */
  memberName: string | null;
  reason: string;
  data: Record<string, unknown>;
}

/** One sentence for those who were there, and the reason that was given; undefined for what concerns who invites alone. */
export function guildNewsText({ action, guild, actorName, memberName, reason, data }: GuildNews): string | undefined {
  const name = `"${guild}"`;
  const who = memberName ?? 'Somebody';
  const by = actorName === null ? '' : ` by ${actorName}`;
  const sentences: Partial<Record<GuildAction, string>> = {
    renamed: `The guild "${String(data['from'])}" was renamed "${String(data['to'])}"${by}.`,
    joined: `${who} joined the guild ${name} as ${String(data['role'])}.`,
    left: `${who} left the guild ${name}.`,
    expelled: `${who} was expelled from the guild ${name}${by}.`,
    appointed: `${who} was made ${String(data['to'])} of the guild ${name}${by}.`,
    transferred: `${who} was made the founder of the guild ${name}${by}.`,
    closed: `The guild ${name} was closed${by}.`,
  };
  const sentence = sentences[action];
  return sentence === undefined || reason === '' ? sentence : `${sentence} The reason given: ${reason}`;
}
