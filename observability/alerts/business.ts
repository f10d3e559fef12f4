import { installationDefinitions as fleet } from '../metrics/api-definitions.ts';
import type { AlertGroup } from './alert.ts';

const since = (metric: string) => `time() - max(${metric})`;

/** Money, posts, and what is to be ready on a bad day. */
export const businessAlerts: AlertGroup = {
  name: 'business',
  alerts: [
    {
      name: 'LedgerImbalance',
      expr: `max(${fleet.ledgerImbalance.name}) != 0 or max(${fleet.ledgerDiscrepancies.name}) > 0`,
      for: '0s',
      severity: 'page',
      summary: 'The books do not add up.',
      runbook: 'ledger-imbalance',
      fires: {
        when: { [fleet.ledgerImbalance.name]: '0x3 1x10', [fleet.ledgerDiscrepancies.name]: '0x13' },
        at: '6m',
        labels: {},
      },
      silent: { when: { [fleet.ledgerImbalance.name]: '0x13', [fleet.ledgerDiscrepancies.name]: '0x13' }, at: '6m' },
    },
    {
      name: 'LedgerNotPassedOver',
      expr: `max(${fleet.ledgerReconciled.name}) > 10800`,
      for: '5m',
      severity: 'ticket',
      summary: 'Nobody has looked for three hours whether the books add up.',
      runbook: 'ledger-imbalance',
      fires: { when: { [fleet.ledgerReconciled.name]: '10800+60x20' }, at: '10m', labels: {} },
      silent: { when: { [fleet.ledgerReconciled.name]: '0+60x20' }, at: '10m' },
    },
    {
      name: 'PurchasesStuck',
      expr: `sum(${fleet.purchases.name}{state="captured"}) > 0`,
      for: '10m',
      severity: 'page',
      summary: 'A purchase is paid and its license is not active.',
      runbook: 'purchases-stuck',
      fires: { when: { [`${fleet.purchases.name}{state="captured"}`]: '1x30' }, at: '15m', labels: {} },
      silent: {
        // Who has not paid yet holds up nobody.
        when: {
          [`${fleet.purchases.name}{state="captured"}`]: '1x5 0x25',
          [`${fleet.purchases.name}{state="pending"}`]: '9x30',
        },
        at: '15m',
      },
    },
    {
      name: 'DropsUnconfirmed',
      expr: `max(${fleet.unconfirmed.name}) > 0`,
      for: '5m',
      severity: 'ticket',
      summary: 'A post left without an answer: a person has to look whether it is out.',
      runbook: 'unconfirmed-drops',
      fires: { when: { [fleet.unconfirmed.name]: '2x30' }, at: '10m', labels: {} },
      silent: { when: { [fleet.unconfirmed.name]: '0x30' }, at: '10m' },
    },
    {
      name: 'ChannelStopped',
      expr: `sum by (channel) (${fleet.channels.name}{state="stopped"}) > 0`,
      for: '10m',
      severity: 'ticket',
      summary: 'A channel of kind {{ $labels.channel }} posts nothing.',
      runbook: 'channel-down',
      fires: {
        when: { [`${fleet.channels.name}{channel="mastodon",state="stopped"}`]: '1x30' },
        at: '15m',
        labels: { channel: 'mastodon' },
      },
      silent: {
        when: {
          [`${fleet.channels.name}{channel="mastodon",state="stopped"}`]: '0x30',
          [`${fleet.channels.name}{channel="mastodon",state="working"}`]: '3x30',
        },
        at: '15m',
      },
    },
    {
      name: 'ChannelDown',
      expr: `sum by (channel) (${fleet.deliveries.name}{state="failed"}) > 3 and sum by (channel) (${fleet.deliveries.name}{state="failed"}) > sum by (channel) (${fleet.deliveries.name}{state="published"})`,
      for: '10m',
      severity: 'ticket',
      summary: 'More posts by {{ $labels.channel }} fail than get out.',
      runbook: 'channel-down',
      fires: {
        when: {
          [`${fleet.deliveries.name}{channel="bluesky",state="failed"}`]: '6x30',
          [`${fleet.deliveries.name}{channel="bluesky",state="published"}`]: '2x30',
        },
        at: '15m',
        labels: { channel: 'bluesky' },
      },
      silent: {
        when: {
          [`${fleet.deliveries.name}{channel="bluesky",state="failed"}`]: '6x30',
          [`${fleet.deliveries.name}{channel="bluesky",state="published"}`]: '90x30',
        },
        at: '15m',
      },
    },
    {
      name: 'MailsWait',
      expr: `min_over_time(${fleet.mails.name}[1h]) > 20`,
      for: '5m',
      severity: 'ticket',
      summary: 'Mails have not left for an hour.',
      runbook: 'channel-down',
      fires: { when: { [fleet.mails.name]: '30x90' }, at: '70m', labels: {} },
      silent: { when: { [fleet.mails.name]: '30x40 0x50' }, at: '70m' },
    },
    {
      // No series until one was made; health says that.
      name: 'BackupOld',
      expr: `${since(fleet.backup.name)} > 36 * 3600`,
      for: '10m',
      severity: 'page',
      summary: 'The last backup that succeeded is older than a day and a half.',
      runbook: 'backup-old',
      // promtool's time begins at 0; a value before that is an older backup.
      fires: { when: { [fleet.backup.name]: '-129600x30' }, at: '15m', labels: {} },
      silent: { when: { [fleet.backup.name]: '-86400x30' }, at: '15m' },
    },
    {
      name: 'ArchiveLate',
      expr: `${since(fleet.archive.name)} > 15 * 60`,
      for: '5m',
      severity: 'page',
      summary: 'Changes have not left for the archive for a quarter of an hour: a lost disk would lose them.',
      runbook: 'archive-late',
      fires: { when: { [fleet.archive.name]: '-900x30' }, at: '15m', labels: {} },
      silent: { when: { [fleet.archive.name]: '0+60x30' }, at: '15m' },
    },
    {
      name: 'RestoreDrillOld',
      expr: `${since(fleet.restoreDrill.name)} > 35 * 86400`,
      for: '1h',
      severity: 'ticket',
      summary: 'Nobody has tried for five weeks whether a backup can be restored.',
      runbook: 'backup-old',
      fires: { when: { [fleet.restoreDrill.name]: '-3024000x120' }, at: '90m', labels: {} },
      silent: { when: { [fleet.restoreDrill.name]: '-86400x120' }, at: '90m' },
    },
    {
      // No series without a standby.
      name: 'StandbyAsynchronous',
      expr: `max(${fleet.standbyAsynchronous.name}) > 0`,
      for: '5m',
      severity: 'page',
      summary: 'Postgres does not wait for its standby: what is acknowledged now is lost with its disk.',
      runbook: 'standby-asynchronous',
      fires: { when: { [fleet.standbyAsynchronous.name]: '1x30' }, at: '10m', labels: {} },
      silent: { when: { [fleet.standbyAsynchronous.name]: '1x3 0x27' }, at: '10m' },
    },
    {
      name: 'CertificateEnds',
      expr: `min by (certificate) (${fleet.certificate.name}) - time() < 14 * 86400`,
      for: '1h',
      severity: 'ticket',
      summary: 'Certificate {{ $labels.certificate }} ends within two weeks.',
      runbook: 'certificate-near-its-end',
      fires: {
        when: { [`${fleet.certificate.name}{certificate="temporal.pem"}`]: '864000x120' },
        at: '90m',
        labels: { certificate: 'temporal.pem' },
      },
      silent: { when: { [`${fleet.certificate.name}{certificate="temporal.pem"}`]: '7776000x120' }, at: '90m' },
    },
  ],
};
