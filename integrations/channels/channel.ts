import type { z } from 'zod';
import type { DeliveryOutcome } from '../../domain/deliveries.ts';
import type { DropWords } from '../../domain/channel-texts.ts';
import type { Ask } from './asking.ts';

/**
 * One kind of channel: how its settings look, how a drop reads there, and how it is posted. What may be sent when, and what
 * follows from an answer, is not its business: stores/deliveries.ts decides, by domain/deliveries.ts.
 */
export interface ChannelKind<Settings = unknown, Secrets = unknown> {
  settings: z.ZodType<Settings>;
  secrets: z.ZodType<Secrets>;
  /** Secrets that the kind makes itself and shows once. */
  newSecrets?: () => Secrets;
  /** Addresses that somebody has chosen, by field: each is judged when the channel is made, and at every request. */
  addresses: (settings: Settings, secrets: Secrets) => Record<string, string>;
  /** What the limits of its server are counted on, such as an account; only its hash is kept. */
  destination: (settings: Settings, secrets: Secrets) => string;
  /**
   * Before an attempt: signs in, reads limits; may be done any number of times. @returns the session to keep
   * @throws DomainError where nothing can be posted now
   */
  prepare?: (at: ChannelAt<Settings, Secrets>) => Promise<string | undefined>;
  /** As it reads there, cut by the channel's measure. @param session as `prepare` gave it */
  text: (words: DropWords, settings: Settings, session: string | undefined) => string;
  post: (at: ChannelAt<Settings, Secrets>, post: Post) => Promise<PostAnswer>;
  /** What others have replied to a post, where its service tells that. @throws DomainError where it could not be read */
  replies?: (at: ChannelAt<Settings, Secrets>, remoteId: string) => Promise<Reply[]>;
}

/** As somebody else wrote it. */
export interface Reply {
  /** What its service calls it. */
  id: string;
  author: string;
  /** Plain text. */
  text: string;
  /** ISO time, as it was told. */
  at: string;
}

export interface ChannelAt<Settings, Secrets> {
  settings: Settings;
  secrets: Secrets;
  /** What `prepare` gave last. */
  session: string | undefined;
  ask: Ask;
}

export interface Post {
  dropId: string;
  agentId: string | null;
  title: string;
  /** As `text` made it, the same at every attempt. */
  text: string;
  narration: string;
  /** ISO: when it was set on its way, the same at every attempt. */
  at: string;
  /** The same for what may be only one post; hexadecimal digits. */
  key: string;
  /** From 1 on; over 1 an earlier one may have arrived. */
  attempt: number;
}

export interface PostAnswer {
  outcome: DeliveryOutcome;
  reason: string;
  status?: number | undefined;
  /** Where the post is, for people; and what its server calls it. */
  url?: string | undefined;
  remoteId?: string | undefined;
  /** Nothing is to be sent to the destination for so long. */
  waitSeconds?: number | undefined;
  /** Nor to any other of the service: it counts what comes from us together, and that is used up. */
  ofService?: boolean;
  /** The channel cannot work any more as it is set up, and must not be tried on and on. */
  stopChannel?: boolean;
}
