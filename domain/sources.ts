import { z } from 'zod';
import { durationSchema, durationSeconds } from './durations.ts';
import { idSchema, slugSchema } from './ids.ts';
import { jsonPointerSchema } from './json-pointer.ts';
import { seedOf } from './random.ts';

/** `sources` of fleet.yaml: what feeds memories from outside. */

const shared = {
  id: slugSchema,
  /** Agents, and archetypes for all agents of theirs, that remember what comes in. */
  agents: z.union([z.literal('all'), z.array(slugSchema).min(1).max(1000)], {
    error: 'must be `all` or a list of agents and archetypes',
  }),
  /** Of each memory, 1 to 10. */
  importance: z.int().min(1).max(10).default(5),
  /** A longer text is cut. */
  charactersPerItem: z.int().min(50).max(8_000).default(2_000),
  /** So many of its new items within 24 hours also whisper for a persona, the first ones; 0: none does. */
  whispersPerDay: z.int().min(0).max(100).default(0),
  /**
   * What comes from it never leaves in a loop package, nor does what was made of that. Default: what is the owner's own is
   * private (folders, webhooks, guilds, feeds of their own network), what the world or an agent says openly is not.
   */
  private: z.boolean().optional(),
};

const polled = {
  every: durationSchema
    .refine((every) => durationSeconds(every) >= 60, {
      error: 'must be at least 1m',
      params: { mend: 'Write 1m or more; most servers ask for 15m or more.' },
    })
    .default('30m'),
  /** New ones taken in one poll, oldest first; the rest comes with the next poll, a minute later. */
  itemsPerPoll: z.int().min(1).max(500).default(50),
};

/** An item that changes: `replace` supersedes the memory of it, `ignore` keeps the first. */
const updates = z.enum(['replace', 'ignore']).default('replace');

const feedSourceSchema = z.strictObject({
  ...shared,
  ...polled,
  kind: z.literal('feed'),
  url: z
    .url({ protocol: /^https?$/ })
    .max(2_000)
    .refine((url) => !/^https?:\/\/[^/?#]*@/i.test(url), {
      error: 'must not hold a name or password',
      params: { mend: 'fleet.yaml holds no secrets; use an address that needs none.' },
    }),
  /** Hosts of the owner's own network that this source may be fetched from; all other private addresses are refused. */
  allowPrivate: z.array(z.string().min(1).max(253)).max(20).default([]),
  updates,
});

const folderSourceSchema = z.strictObject({
  ...shared,
  ...polled,
  kind: z.literal('folder'),
  /** Where the folder lies; its environment (`SOULFRA_SOURCE_FOLDERS`) must allow it. */
  machine: slugSchema,
  folder: z
    .string()
    .max(1_000)
    .regex(/^(?!.*\/\.\.?(?:\/|$))\/[^\0]*$/s, 'must be an absolute path without . and ..'),
  updates,
});

const dropsSourceSchema = z.strictObject({
  ...shared,
  ...polled,
  kind: z.literal('drops'),
  /** Whose drops they are; it is never given its own. */
  agent: slugSchema,
});

const guildSourceSchema = z.strictObject({
  ...shared,
  ...polled,
  kind: z.literal('guild'),
  /** What happens in it is given to those of the agents who were in it then. */
  guild: idSchema('guild'),
});

const webhookSourceSchema = z.strictObject({
  ...shared,
  kind: z.literal('webhook'),
  eventsPerMinute: z.int().min(1).max(600).default(60),
  /** Where in the sender's own JSON the parts stand; absent: the sender writes the documented shape. */
  pointers: z
    .strictObject({
      text: jsonPointerSchema,
      title: jsonPointerSchema.optional(),
      occurredAt: jsonPointerSchema.optional(),
      url: jsonPointerSchema.optional(),
    })
    .optional(),
});

export const sourceSchema = z.discriminatedUnion('kind', [
  feedSourceSchema,
  webhookSourceSchema,
  folderSourceSchema,
  dropsSourceSchema,
  guildSourceSchema,
]);
export type Source = z.infer<typeof sourceSchema>;
export type FeedSource = z.infer<typeof feedSourceSchema>;
export type WebhookSource = z.infer<typeof webhookSourceSchema>;
export type FolderSource = z.infer<typeof folderSourceSchema>;
export type DropsSource = z.infer<typeof dropsSourceSchema>;
export type GuildSource = z.infer<typeof guildSourceSchema>;
/** One that we read, on a Schedule; the others come to us. */
export type PolledSource = Exclude<Source, WebhookSource>;

export function isPolled(source: Source): source is PolledSource {
  return source.kind !== 'webhook';
}

/** Whether what comes from it must stay in this fleet. */
export function isPrivate(source: Source): boolean {
  if (source.private !== undefined) return source.private;
  if (source.kind === 'feed') return source.allowPrivate.length > 0;
  return source.kind !== 'drops';
}

/** The machine that a source must be read on; undefined: any. */
export function machineOf(source: Source | undefined): string | undefined {
  return source?.kind === 'folder' ? source.machine : undefined;
}

/** One thing that came from outside, as it came. */
export interface SourceItem {
  /** The other side's own id: the same again is the same item. */
  key: string;
  /** Plain, may be empty. */
  title: string;
  /** Plain, may be empty. */
  text: string;
  /** http or https. */
  url: string | null;
  /** As the other side says, ISO; null: it does not. */
  publishedAt: string | null;
  changedAt: string | null;
  /** Absent: as its source says. */
  importance?: number;
  /** What of the source holds it, such as a file; absent: the source has no parts. */
  part?: string;
}

/** Where more came than one poll takes, the next one follows after this. */
const againSeconds = 60;
export const longestDelaySeconds = 86_400;

export interface PollDelay {
  sourceId: string;
  every: string;
  /** In a row, this one counted; 0 after a success. */
  failures: number;
  /** What the other side asked for. */
  retryAfterSeconds?: number | undefined;
  /** Items that one poll could not take. */
  left?: number;
}

/**
 * Seconds until the next poll. Each failure in a row doubles them, up to a day or the source's own pace; ±10 % by a hash of
 * source and count, so that sources which failed together do not come back together.
 */
export function pollDelaySeconds({ sourceId, every, failures, retryAfterSeconds = 0, left = 0 }: PollDelay): number {
  const pace = durationSeconds(every);
  if (failures === 0) return left > 0 ? Math.min(againSeconds, pace) : pace;
  const longest = Math.max(longestDelaySeconds, pace);
  const spread = 0.9 + (0.2 * seedOf(`${sourceId} ${failures}`)) / 2 ** 32;
  const backOff = Math.min(pace * 2 ** Math.min(failures - 1, 20), longest) * spread;
  return Math.round(Math.max(backOff, Math.min(retryAfterSeconds, longest)));
}

/** A person is told once this many polls in a row have failed. */
export const failuresUntilNotice = 3;

/** @param itemHash SHA-256 of the item's own id, in hex; what of it was superseded counts the versions */
export function sourceMemoryKey(sourceId: string, itemHash: string, version: number): string {
  return `source:${sourceId}:${itemHash}:${version}`;
}

/** As JavaScript and Postgres both read them: the key of a memory that came from a source, and its `source`; first the source's id. */
export const sourceKeyPattern = '^source:([a-z0-9-]{1,63}):([0-9a-f]{64}):[0-9]+$';
export const sourceNamePattern = '^(?:feed|webhook|folder|drops|guild):([a-z0-9-]{1,63})$';

/** The item that a memory with this key came from. */
export function sourceItemOfKey(externalKey: string): { sourceId: string; itemHash: string } | undefined {
  const [, sourceId, itemHash] = new RegExp(sourceKeyPattern).exec(externalKey) ?? [];
  return sourceId === undefined || itemHash === undefined ? undefined : { sourceId, itemHash };
}

/** The source that a memory came from: by its key, and where that was told otherwise by the name that it gives as its source. */
export function sourceIdOf({ externalKey, source }: { externalKey: string; source: string }): string | undefined {
  return sourceItemOfKey(externalKey)?.sourceId ?? new RegExp(sourceNamePattern).exec(source)?.[1];
}

/** When it happened: what the other side says, but never later than we heard of it, and never before years of four digits. */
export function happenedAt(said: string | null | undefined, now: Date): string {
  const at = said === null || said === undefined ? Number.NaN : Date.parse(said);
  const usable = at <= now.getTime() && at >= Date.UTC(1000, 0, 1);
  return (usable ? new Date(at) : now).toISOString();
}
