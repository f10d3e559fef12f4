import { cutText, byteCount, withoutMentions } from '../domain/channel-texts.ts';
import { DomainError, isDomainError } from '../domain/errors.ts';
import type { Destination, NotificationKind, NotifyOutcome, NotifySecrets } from '../domain/notify.ts';
import { type NotifyContent, webhookBody } from '../domain/notify-texts.ts';
import type { Severity } from '../domain/notices.ts';
import { oneLine } from '../domain/mail-texts.ts';
import { type Ask, type Asked, createAsk, unpublished, wordsToHide } from './channels/asking.ts';
import { discordSafety } from './channels/discord-text.ts';
import type { GuardedFetch } from './guarded-fetch.ts';
import type { MailSender } from './mail/mail-sender.ts';
import { signatureOf } from './standard-webhooks.ts';

/** Milliseconds for names, connection and answer. */
const timeoutMs = 15_000;
const mostDiscordUnits = 2_000;
const mostNtfyBytes = 4_000;
/** 1 to 5; 3 is usual. */
const ntfyPriorities: Readonly<Record<Severity, number>> = { info: 2, warning: 3, critical: 5 };

export interface OutgoingNotification {
  /** The same at every try. */
  id: string;
  kind: NotificationKind;
  fleet: string;
  at: Date;
  content: NotifyContent;
  allowPrivate: readonly string[];
  signal: AbortSignal;
}

export interface NotifyAnswer {
  outcome: NotifyOutcome;
  reason: string;
  waitSeconds?: number | undefined;
}

export interface NotifierDeps {
  guardedFetch: GuardedFetch;
  secrets: NotifySecrets;
  mailSender: MailSender;
  /** A bare address. */
  mailFrom: string;
}

/** Tells a destination; whatever comes of it is an answer, never a throw. */
export function createNotifier({ guardedFetch, secrets, mailSender, mailFrom }: NotifierDeps) {
  function askOf({ allowPrivate }: OutgoingNotification, hidden: unknown): Ask {
    return createAsk({
      guardedFetch,
      allowPrivate,
      timeoutMs,
      leaveBy: Date.now() + timeoutMs,
      hidden: wordsToHide(hidden),
    });
  }

  function secretOf(destination: string, name: 'url' | 'secret'): string {
    const value = secrets[destination]?.[name];
    if (value === undefined)
      throw new DomainError('UNAVAILABLE', `SOULFRA_NOTIFY_SECRETS of the worker names no ${name} for ${destination}`);
    return value;
  }

  async function tell(destination: Destination, message: OutgoingNotification): Promise<NotifyAnswer> {
    const { title, text, severity } = message.content;
    const own = secrets[destination.id] ?? {};
    switch (destination.kind) {
      case 'webhook': {
        const secret = secretOf(destination.id, 'secret');
        const { id, kind, fleet, at, content } = message;
        const bytes = Buffer.from(webhookBody({ type: kind, at: at.toISOString(), fleet }, content), 'utf8');
        const timestamp = String(Math.floor(Date.now() / 1000));
        return answerOf(
          await askOf(
            message,
            own,
          )({
            url: destination.url,
            bytes,
            headers: {
              'user-agent': 'soulfra-notify',
              'webhook-id': id,
              'webhook-timestamp': timestamp,
              'webhook-signature': signatureOf(secret, { id, timestamp, body: bytes }),
            },
          }),
        );
      }
      case 'discord': {
        const words = withoutMentions(`${title}\n\n${text}`);
        const at = new URL(secretOf(destination.id, 'url'));
        // The answer is then the message, and not only that it was heard.
        at.searchParams.set('wait', 'true');
        const content = cutText(words, ({ length }) => length <= mostDiscordUnits);
        return answerOf(await askOf(message, own)({ url: at.href, json: { content, ...discordSafety } }));
      }
      case 'ntfy': {
        const at = new URL(destination.url ?? secretOf(destination.id, 'url'));
        const topic = decodeURIComponent(at.pathname.split('/').findLast((part) => part !== '') ?? '');
        if (topic === '') throw new DomainError('UNAVAILABLE', `the address of ${destination.id} names no topic`);
        return answerOf(
          await askOf(
            message,
            own,
          )({
            url: at.origin,
            json: {
              topic,
              title,
              message: cutText(text, (cut) => byteCount(cut) <= mostNtfyBytes),
              priority: ntfyPriorities[severity],
            },
            headers: {
              'user-agent': 'soulfra-notify',
              ...(own.token === undefined ? {} : { authorization: `Bearer ${own.token}` }),
            },
          }),
        );
      }
      case 'mail': {
        const { id, at, signal } = message;
        const domain = mailFrom.slice(mailFrom.lastIndexOf('@') + 1);
        const mail = { messageId: `<${id}@${domain}>`, from: mailFrom, to: destination.to, date: at };
        const { outcome, answer } = await mailSender.send({
          to: destination.to,
          compose: () => Promise.resolve({ ...mail, subject: oneLine(title), text: `${text}\n` }),
          signal,
        });
        const came = { accepted: 'sent', deferred: 'not_sent' } as const;
        const told = outcome ?? 'not_sent';
        return { outcome: told === 'accepted' || told === 'deferred' ? came[told] : told, reason: answer };
      }
    }
  }

  return {
    async send(destination: Destination, message: OutgoingNotification): Promise<NotifyAnswer> {
      try {
        return await tell(destination, message);
      } catch (err) {
        if (message.signal.aborted) throw err;
        return { outcome: 'not_sent', reason: reasonOf(err) };
      }
    },

    /** Asks the address that somebody outside watches. @returns why it was not heard; undefined: it was */
    async beat(url: string | undefined, allowPrivate: readonly string[]): Promise<string | undefined> {
      try {
        const to = url ?? secretOf('heartbeat', 'url');
        const ask = createAsk({
          guardedFetch,
          allowPrivate,
          timeoutMs,
          leaveBy: Date.now() + timeoutMs,
          hidden: wordsToHide({ url: to }),
        });
        const asked = await ask({ url: to, bytes: Buffer.alloc(0), headers: { 'user-agent': 'soulfra-heartbeat' } });
        const { outcome, reason } = answerOf(asked);
        return outcome === 'sent' ? undefined : reason;
      } catch (err) {
        return reasonOf(err);
      }
    },
  };
}
/** What nobody foresaw is a try that failed, too: thrown, it would be tried for ever, and nothing else be told there. */
function reasonOf(err: unknown): string {
  const reason = isDomainError(err)
    ? err.message
    : `it could not be asked (${err instanceof Error ? err.name : typeof err})`;
  return reason.slice(0, 300);
}

export type Notifier = ReturnType<typeof createNotifier>;

function answerOf(asked: Asked): NotifyAnswer {
  if (asked.kind === 'reply' && asked.status >= 200 && asked.status < 300) return { outcome: 'sent', reason: '' };
  const { outcome, reason, waitSeconds } = unpublished(asked);
  const outcomes = { deferred: 'not_sent', refused: 'refused', unknown: 'unconfirmed', published: 'sent' } as const;
  return { outcome: outcomes[outcome], reason, waitSeconds };
}
