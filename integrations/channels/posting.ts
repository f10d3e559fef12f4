import { createHash } from 'node:crypto';
import { type ChannelKindName, channelKindRow } from '../../domain/channel-kinds.ts';
import type { DropWords } from '../../domain/channel-texts.ts';
import { cleanLine } from '../../domain/clean-text.ts';
import { attemptSeconds, leaveWithinSeconds } from '../../domain/deliveries.ts';
import { DomainError, isDomainError } from '../../domain/errors.ts';
import type { GuardedFetch } from '../guarded-fetch.ts';
import type { SecretBox } from '../secret-box.ts';
import { createAsk, wordsToHide } from './asking.ts';
import type { Post, PostAnswer, Reply } from './channel.ts';
import { channelKind } from './kinds.ts';

/** A channel as it is kept. */
export interface KeptChannel {
  id: string;
  ownerId: string;
  kind: ChannelKindName;
  settings: unknown;
  sealed: Uint8Array | null;
  session: Uint8Array | null;
}

export interface PostingDeps {
  guardedFetch: GuardedFetch;
  /** Absent: no SOULFRA_WEBHOOK_KEY, so that no secret can be opened. */
  box: SecretBox | undefined;
  /** Hosts in private networks that channels of this owner may lie on. */
  allowPrivate: (ownerId: string) => Promise<readonly string[]>;
}

/** What a channel's sealed secrets are of: they cannot be opened as another's. */
export const channelSecretsAbout = (id: string) => `channel secrets ${id}`;
export const channelSessionAbout = (id: string) => `channel session ${id}`;

/** Never the account itself, which may be a secret. */
export function destinationKey(kind: ChannelKindName, destination: string): string {
  return `${kind}:${createHash('sha256').update(destination).digest('hex').slice(0, 32)}`;
}

/** The same for what may be only one post; where it is the post's own also when a person asks for that again. */
export function postKey(kind: ChannelKindName, deliveryId: string, again: number): string {
  const count = channelKindRow(kind).keyOfPost === true ? 0 : again;
  return createHash('sha256').update(`${deliveryId}/${count}`).digest('hex').slice(0, 32);
}

export type Posting = ReturnType<typeof createPosting>;

/** Opens what a channel has sealed and asks its kind; what may be sent when is not decided here. */
export function createPosting({ guardedFetch, box, allowPrivate }: PostingDeps) {
  async function at(
    channel: KeptChannel,
    session: string | undefined,
    { leaveBy, mayLeave }: { leaveBy: number; mayLeave?: () => Promise<void> },
  ) {
    const { settings, secrets } = opened(channel);
    const kind = channelKind(channel.kind);
    const ask = createAsk({
      guardedFetch,
      allowPrivate: await allowPrivate(channel.ownerId),
      timeoutMs: attemptSeconds * 1000,
      leaveBy,
      mayLeave,
      hidden: [...wordsToHide(secrets), ...wordsToHide(session === undefined ? {} : JSON.parse(session))],
    });
    return { kind, at: { settings, secrets, session, ask } };
  }

  function opened({ id, kind, settings, sealed }: KeptChannel): { settings: unknown; secrets: unknown } {
    const { settings: settingsSchema, secrets: secretsSchema } = channelKind(kind);
    const told = settingsSchema.parse(settings);
    if (sealed === null) return { settings: told, secrets: secretsSchema.parse({}) };
    return { settings: told, secrets: secretsSchema.parse(JSON.parse(openBox(sealed, channelSecretsAbout(id)))) };
  }

  function openBox(sealed: Uint8Array, about: string): string {
    if (box === undefined) throw new DomainError('UNAVAILABLE', 'SOULFRA_WEBHOOK_KEY is not set for the worker');
    try {
      return box.open(sealed, about);
    } catch (cause) {
      throw new DomainError('UNAVAILABLE', 'SOULFRA_WEBHOOK_KEY is another than the secrets were made under', {
        cause,
      });
    }
  }

  return {
    /**
     * Signs in where the kind has to. @returns the session, and sealed what is to be kept of it where it is another
     * @throws DomainError where nothing can be posted now
     */
    async prepare(channel: KeptChannel): Promise<{ session: string | undefined; keep?: Buffer }> {
      const known = channel.session === null ? undefined : openBox(channel.session, channelSessionAbout(channel.id));
      const { kind, at: here } = await at(channel, known, { leaveBy: Date.now() + attemptSeconds * 1000 });
      if (kind.prepare === undefined) return { session: undefined };
      const session = await kind.prepare(here);
      if (session === undefined || session === known || box === undefined) return { session };
      return { session, keep: box.seal(session, channelSessionAbout(channel.id)) };
    },

    /** @param session as `prepare` gave it */
    text(channel: Pick<KeptChannel, 'kind' | 'settings'>, words: DropWords, session: string | undefined): string {
      const kind = channelKind(channel.kind);
      return kind.text(words, kind.settings.parse(channel.settings), session);
    },

    /**
     * What others have replied to a post; undefined where the kind does not tell.
     * @param session as `prepare` gave it
     * @throws DomainError where it could not be read
     */
    async replies(channel: KeptChannel, session: string | undefined, remoteId: string): Promise<Reply[] | undefined> {
      const { kind, at: here } = await at(channel, session, { leaveBy: Date.now() + attemptSeconds * 1000 });
      return kind.replies?.(here, remoteId);
    },

    /**
     * @param beganAt milliseconds since 1970, taken before the attempt was put down: nothing leaves long after it
     * @param mayLeave asked once more before a byte leaves; throws a DomainError where none may
     */
    async post(
      channel: KeptChannel,
      session: string | undefined,
      post: Post,
      { beganAt, mayLeave }: { beganAt: number; mayLeave: () => Promise<void> },
    ): Promise<PostAnswer> {
      try {
        const { kind, at: here } = await at(channel, session, {
          leaveBy: beganAt + leaveWithinSeconds * 1000,
          mayLeave,
        });
        return keepable(await kind.post(here, post));
      } catch (err) {
        // Thrown before anything was asked: what is asked answers and does not throw.
        if (isDomainError(err)) return { outcome: 'deferred', reason: err.message };
        throw err;
      }
    },
  };
}

/** What a service calls a post is its own choice: an address is one that a person may open, and nothing in it is a control character. */
function keepable({ url, remoteId, ...answer }: PostAnswer): PostAnswer {
  const isAddress = url !== undefined && url.length <= 2_000 && /^https?:/.test(URL.parse(url)?.protocol ?? '');
  const id = remoteId === undefined ? '' : cleanLine(remoteId).slice(0, 500);
  return { ...answer, url: isAddress ? cleanLine(url) : undefined, remoteId: id === '' ? undefined : id };
}
