import { Readable } from 'node:stream';
import SMTPConnection from 'nodemailer/lib/smtp-connection';
import type { MailOutcome } from '../../domain/mails.ts';
import type { SmtpSettings } from '../../domain/smtp-settings.ts';
import { mailBytes, type MailSender, type Sending, type Sent } from './mail-sender.ts';

/** Milliseconds. */
const limits = { connectionTimeout: 10_000, greetingTimeout: 10_000, socketTimeout: 30_000, dnsTimeout: 10_000 };

/**
 * One connection a mail: it is opened, greeted, secured and signed in before anything is written down of the try, so that all that
 * fails until then is known not to have been sent.
 */
export function createSmtpSender(settings: SmtpSettings): MailSender {
  return {
    async send(sending) {
      const connection = new SMTPConnection({
        host: settings.host,
        port: settings.port,
        secure: settings.secure,
        requireTLS: settings.tls,
        ignoreTLS: !settings.tls,
        ...limits,
      });
      const stop = () => connection.close();
      sending.signal.addEventListener('abort', stop, { once: true });
      try {
        return await converse(connection, settings, sending);
      } finally {
        sending.signal.removeEventListener('abort', stop);
        connection.close();
      }
    },
  };
}

async function converse(
  connection: SMTPConnection,
  settings: SmtpSettings,
  { to, compose, signal }: Sending,
): Promise<Sent> {
  // Errors that come outside a call of ours; inside one they are its answer.
  const broken = Promise.withResolvers<never>();
  broken.promise.catch(() => undefined);
  connection.on('error', (err: Error) => broken.reject(err));
  connection.on('end', () => broken.reject(new Error('the connection was closed')));
  const step = (begin: (done: (err?: Error | null) => void) => void) =>
    Promise.race([
      broken.promise,
      new Promise<void>((resolve, reject) => begin((err) => (err ? reject(err) : resolve()))),
    ]);
  try {
    signal.throwIfAborted();
    await step((done) => connection.connect(done));
    const { user, password } = settings;
    if (user !== undefined) await step((done) => connection.login({ credentials: { user, pass: password } }, done));
    signal.throwIfAborted();
  } catch (err) {
    return { outcome: 'not_sent', answer: answerOf(said(err), to, settings) };
  }
  const mail = await compose();
  if (mail === undefined) return { outcome: undefined, answer: '' };
  let left = false;
  const bytes = await mailBytes(mail);
  const message = new Readable({
    // Asked for only once the server has said that it takes the mail: before it, none of it can have arrived.
    read() {
      left = true;
      this.push(bytes);
      this.push(null);
    },
  });
  try {
    const response = await Promise.race([
      broken.promise,
      new Promise<string>((resolve, reject) => {
        connection.send({ from: mail.from, to }, message, (err, info) =>
          err ? reject(err) : resolve(info?.response ?? ''),
        );
      }),
    ]);
    return { outcome: 'accepted', answer: answerOf(response, to, settings) };
  } catch (err) {
    return { outcome: outcomeOf(err, left), answer: answerOf(said(err), to, settings) };
  }
}

/** A reply of the server is its word, whenever it came; a connection that broke after the mail went says nothing. */
function outcomeOf(err: unknown, left: boolean): MailOutcome {
  const status = (err as { responseCode?: number }).responseCode ?? 0;
  if (status >= 500) return 'refused';
  if (status >= 400) return 'deferred';
  return left ? 'unconfirmed' : 'not_sent';
}

function said(err: unknown): string {
  const { message, response } = err as Error & { response?: string };
  return response ?? message ?? String(err);
}

/** What the server said, without our credentials and without whom it was to: it is kept, and shown to operators. */
function answerOf(text: string, to: string, { user, password }: SmtpSettings): string {
  let told = text.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ');
  for (const secret of [password, user, to])
    if (secret !== undefined && secret !== '')
      told = told.replaceAll(new RegExp(secret.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, String.raw`\$&`), 'gi'), '…');
  return told.slice(0, 500);
}
