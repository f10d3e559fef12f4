import type { Worker } from '@temporalio/worker';
import type { FleetReader } from '../activities/fleet-view.ts';
import { createMailActivities } from '../activities/mails.ts';
import { createNotifyActivities } from '../activities/notifications.ts';
import { createWebhookActivities } from '../activities/webhooks.ts';
import { DomainError } from '../domain/errors.ts';
import { smtpSettingsOf } from '../domain/smtp-settings.ts';
import { notifySecretsOf } from '../domain/notify.ts';
import { createGuardedFetch } from '../integrations/guarded-fetch.ts';
import type { MailSender } from '../integrations/mail/mail-sender.ts';
import { createMailbox, noMail } from '../integrations/mail/mailbox.ts';
import { createSmtpSender } from '../integrations/mail/smtp.ts';
import { createNotifier } from '../integrations/notify.ts';
import { secretBoxOf } from '../integrations/secret-box.ts';
import { createWebhookSender } from '../integrations/webhook-sender.ts';
import type { Database } from '../stores/database.ts';
import { createMailStore } from '../stores/mails.ts';
import { createNotificationStore } from '../stores/notifications.ts';
import { createWebhookDeliveryStore } from '../stores/webhook-deliveries.ts';
import { createChannelWorker, type SharedByWorkers } from './coordination.ts';

/** How what leaves for others leaves; without any of it mails and events wait and say why. */
export interface OutboundSettings {
  /** As SMTP_URL has it; before the folder, where both are named. */
  smtpUrl?: string | undefined;
  /** A folder in place of a mail server. */
  mailbox?: string | undefined;
  /** A bare address. */
  mailFrom: string;
  /** What links begin with, without a slash at the end. */
  publicUrl: string;
  /** 32 bytes, base64url: what secrets of endpoints are sealed under. */
  webhookKey?: string | undefined;
  /** The one before, by which it still opens. */
  webhookKeyOld?: string | undefined;
  /** JSON: what destinations of `notify` have that is secret. */
  notifySecrets?: string | undefined;
}

export interface ChannelDeps {
  db: Database;
  fleet: FleetReader;
  settings: OutboundSettings;
  /** For tests: what to wait in place of what the rules say. */
  waitSeconds?: (ruled: number) => number;
}

function mailSenderOf({ smtpUrl, mailbox }: OutboundSettings): MailSender {
  if (smtpUrl === undefined) return mailbox === undefined ? noMail : createMailbox(mailbox);
  const settings = smtpSettingsOf(smtpUrl);
  if (settings === undefined) throw new DomainError('INVALID_INPUT', 'SMTP_URL is no address of a mail server');
  return createSmtpSender(settings);
}

/** The workers of the channels, one each. */
export function createChannelWorkers(
  shared: SharedByWorkers,
  identityOf: (channel: string) => string,
  { db, fleet, settings, waitSeconds }: ChannelDeps,
): Promise<Worker[]> {
  const { webhookKey, webhookKeyOld, mailFrom, publicUrl } = settings;
  const waits = waitSeconds === undefined ? {} : { waitSeconds };
  const guardedFetch = createGuardedFetch();
  const send = createWebhookSender({
    guardedFetch,
    box: secretBoxOf(webhookKey, webhookKeyOld),
    // The hosts are of who runs the fleet: nobody else's endpoint reaches them.
    allowPrivate: async (owner) => {
      const { ownerId, fleet: applied } = await fleet();
      return owner === ownerId ? applied.webhooks.allowPrivate : [];
    },
  });
  const mailSender = mailSenderOf(settings);
  const activities = {
    mail: createMailActivities({
      mails: createMailStore(db),
      sender: mailSender,
      fleet,
      from: mailFrom,
      publicUrl,
      ...waits,
    }),
    webhooks: createWebhookActivities({ webhookDeliveries: createWebhookDeliveryStore(db), send, ...waits }),
    notify: createNotifyActivities({
      notifications: createNotificationStore(db),
      fleet,
      notifier: createNotifier({
        guardedFetch,
        mailSender,
        mailFrom,
        secrets: notifySecretsOf(settings.notifySecrets ?? '{}') ?? {},
      }),
      ...waits,
    }),
  } as const;
  return Promise.all(
    (['mail', 'webhooks', 'notify'] as const).map((channel) =>
      createChannelWorker({ ...shared, identity: identityOf(channel), channel, activities: activities[channel] }),
    ),
  );
}
