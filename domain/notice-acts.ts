import type { NoticeKind, Severity } from './notices.ts';

/** What an act is made of. */
export interface ActedNotice {
  id: string;
  key: string;
  subject: string;
  /** What the act names beside the subject, such as the delivery of a drop; empty where there is nothing. */
  about: string;
}

export interface NoticeAct {
  /** What a person does, in a sentence. */
  say: string;
  /** What does it, or shows what there is to do where that lies outside. */
  command: string;
  /** The same by the API. */
  call: { method: 'GET' | 'POST' | 'DELETE'; path: string };
}

interface NoticeRule {
  severity: Severity;
  act: (notice: ActedNotice) => NoticeAct;
  /** What happens if nobody does, or what else there is to do. */
  otherwise: (notice: ActedNotice) => string;
}

const by = (say: string, command: string, method: NoticeAct['call']['method'], path: string): NoticeAct => ({
  say,
  command,
  call: { method, path },
});

/** The rest of a key such as `delivery:dlv_…`. */
const afterColon = (key: string) => key.slice(key.indexOf(':') + 1);

const apply = (say: string) => by(say, 'soulfra apply', 'POST', '/v1/fleet/apply');
const done = (say: string, { id }: ActedNotice) =>
  by(`${say} Then say that it is done.`, `soulfra inbox done ${id}`, 'POST', `/v1/inbox/${id}/done`);
const untilDone = () => 'It stays here until somebody says that it is done.';

/**
 * Each kind of notice with how much it matters and what to do about it: exactly one row for each, or this does not compile.
 * Paths and commands are those of the API and of `soulfra`; a test looks each up.
 */
export const noticeRules: Readonly<Record<NoticeKind, NoticeRule>> = {
  machine_lost: {
    severity: 'critical',
    act: ({ subject }) =>
      by(`Start the worker of ${subject}.`, `soulfra fleet start ${subject}`, 'POST', `/v1/machines/${subject}/start`),
    otherwise: () =>
      'Its work is done by other machines where their models fit, and waits where not. It closes when the machine is back.',
  },
  parked_work: {
    severity: 'warning',
    act: ({ subject }) =>
      by(`Bring back a machine that holds ${subject}.`, 'soulfra fleet show', 'GET', '/v1/fleet/plan'),
    otherwise: () =>
      'Runs wait for limits.parkedFor of fleet.yaml and are then given up on; the next period begins anew.',
  },
  model_server_down: {
    severity: 'critical',
    act: ({ subject }) =>
      by(`Start the model server on ${subject}.`, 'soulfra machine list', 'GET', `/v1/machines/${subject}`),
    otherwise: () => 'Its queues are polled again by themselves once it answers; plans do without it until then.',
  },
  gpu_differs: {
    severity: 'warning',
    act: ({ subject }) => apply(`Mend the gpus of ${subject} in fleet.yaml, then apply it.`),
    otherwise: () => 'Plans count on cards that are not there, or leave some unused.',
  },
  source_failing: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        `See why ${subject} cannot be read, and poll it again.`,
        `soulfra sources poll ${subject}`,
        'POST',
        `/v1/sources/${subject}/poll`,
      ),
    otherwise: ({ subject }) =>
      `It is tried again ever more seldom. soulfra sources show ${subject} says what went wrong.`,
  },
  source_secret_unreadable: {
    severity: 'warning',
    act: ({ subject, key }) =>
      by(
        'Revoke the secret, and make another one.',
        `soulfra sources secret revoke ${subject} ${afterColon(key)}`,
        'DELETE',
        `/v1/sources/${subject}/secrets/${afterColon(key)}`,
      ),
    otherwise: () =>
      'Events that were signed with it are refused. It closes when SOULFRA_SECRET_KEY is the one it was made under.',
  },
  tokens_spent: {
    severity: 'info',
    act: ({ subject }) => apply(`Raise the budget of ${subject} under budgets in fleet.yaml, then apply it.`),
    otherwise: () => 'What asks for more ends with TOKENS_SPENT until midnight UTC.',
  },
  memory_limit: {
    severity: 'info',
    act: ({ subject }) => apply(`Raise memoriesPerAgent for ${subject} in fleet.yaml, then apply it.`),
    otherwise: () => 'It remembers more than its limit; what nothing rests on is consolidated every hour.',
  },
  consolidation_failing: {
    severity: 'info',
    act: ({ subject }) =>
      by('Look at what it remembers.', `soulfra memories list ${subject}`, 'GET', `/v1/agents/${subject}/memories`),
    otherwise: () => 'It is tried again every hour.',
  },
  drift_failing: {
    severity: 'info',
    act: () => by('Rate again, once its vectors are mended.', 'soulfra drift rate', 'POST', '/v1/drift/rate'),
    otherwise: () => 'Its last rating stands; it is tried again every 6 hours.',
  },
  weaving_failing: {
    severity: 'info',
    act: () => by('Weave again, once the memory is mended.', 'soulfra threads weave', 'POST', '/v1/threads/weave'),
    otherwise: () => 'Those memories stand in no thread; it is tried again every hour.',
  },
  embedding_failing: {
    severity: 'info',
    act: ({ subject }) =>
      apply(
        `Supersede the memories with texts that ${subject} reads, or name another model under embeddings in fleet.yaml.`,
      ),
    otherwise: () => 'Those memories are found by their words alone; each is asked for again after a week.',
  },
  embedding_model_failing: {
    severity: 'warning',
    act: ({ subject }) =>
      apply(`Start the server of ${subject}, or name another model under embeddings in fleet.yaml.`),
    otherwise: () => 'The model before it serves until then; without one memories are searched by words alone.',
  },
  clustering_failing: {
    severity: 'info',
    act: () => by('Rate it anew, then cluster again.', 'soulfra clusters find', 'POST', '/v1/clusters/find'),
    otherwise: () => 'It is in no cluster; it is tried again every day.',
  },
  whisper_waiting: {
    severity: 'warning',
    act: ({ subject }) =>
      by('Let the persona be born.', `soulfra whispers approve ${subject}`, 'POST', `/v1/whispers/${subject}/approve`),
    otherwise: ({ subject }) => `soulfra whispers refuse ${subject}; past its deadline it expires.`,
  },
  ledger_unbalanced: {
    severity: 'critical',
    act: () => by('Look through the books again.', 'soulfra ledger reconcile', 'POST', '/v1/ledger/reconcile'),
    otherwise: () => 'It is looked at every hour; nothing mends the books by itself.',
  },
  readiness_critical: {
    severity: 'warning',
    act: () => by('See what it is, with its mend.', 'soulfra readiness', 'GET', '/v1/readiness'),
    otherwise: () => 'It is looked at every week, and told again when another comes.',
  },
  dispute_open: {
    severity: 'critical',
    act: ({ subject }) =>
      by(
        'Answer it at the provider; nobody does that for you.',
        `soulfra purchases disputes ${subject}`,
        'GET',
        `/v1/disputes?purchaseId=${subject}`,
      ),
    otherwise: () => 'What is not answered in time is lost, and the money with it.',
  },
  dispute_differs: {
    severity: 'warning',
    act: (notice) => done('Look it up at the provider; what was posted stays.', notice),
    otherwise: untilDone,
  },
  refund_failed: {
    severity: 'critical',
    act: (notice) => done('Pay the buyer in another way: the books say that the money went back.', notice),
    otherwise: untilDone,
  },
  refund_differs: {
    severity: 'warning',
    act: (notice) => done('See whether its buyer was to have it.', notice),
    otherwise: untilDone,
  },
  payment_beyond: {
    severity: 'warning',
    act: (notice) => done('Look it up at the provider: it is booked as the loss of the platform.', notice),
    otherwise: untilDone,
  },
  payment_differs: {
    severity: 'warning',
    act: (notice) => done('Look it up at the provider: somebody changed or captured it there.', notice),
    otherwise: () => 'The money goes back and the purchase is refused, whether or not somebody looks.',
  },
  payment_stuck: {
    severity: 'critical',
    act: (notice) => done('Look it up at the provider and settle it there; it is then let be here.', notice),
    otherwise: () => 'What may pass is tried again by itself.',
  },
  payout_waiting: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        'Pay it, then say under which reference.',
        `soulfra payouts paid ${subject} --reference YOURS`,
        'POST',
        `/v1/payouts/${subject}/paid`,
      ),
    otherwise: ({ subject }) => `soulfra payouts failed ${subject} gives it back to the creator’s account.`,
  },
  payout_failing: {
    severity: 'warning',
    act: () => by('See what the provider said.', 'soulfra payouts list', 'GET', '/v1/payouts'),
    otherwise: () => 'It is tried again by itself, under the same id.',
  },
  payout_refused: {
    severity: 'warning',
    act: ({ subject }) =>
      by('Set another account, or none.', `soulfra payouts account ${subject}`, 'POST', '/v1/payouts/accounts'),
    otherwise: () => 'It is tried again ever more seldom; the money stays the creator’s.',
  },
  payout_no_threshold: {
    severity: 'warning',
    act: ({ subject }) => apply(`Name ${subject} in market.payouts.threshold of fleet.yaml, then apply it.`),
    otherwise: () => 'It is never paid out.',
  },
  payouts_held: {
    severity: 'critical',
    act: (notice) =>
      done(
        'See at the provider which payouts have left since the backup, and have those creators paid by hand (docs/backup.md).',
        notice,
      ),
    otherwise: () => 'No creator is paid until somebody says that it is done.',
  },
  purchase_stuck: {
    severity: 'critical',
    act: ({ subject }) =>
      by('See at what it stands.', `soulfra purchases show ${subject}`, 'GET', `/v1/purchases/${subject}`),
    otherwise: () => 'It is tried again by itself; it closes when the purchase goes on.',
  },
  listing_taken_down: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        'Ask who runs the marketplace what must change; they put it back.',
        `soulfra listings show ${subject}`,
        'GET',
        `/v1/listings/${subject}`,
      ),
    otherwise: () => 'Nobody can buy it.',
  },
  mail_failing: {
    severity: 'warning',
    act: ({ subject }) =>
      subject === 'mail'
        ? by('Mend SMTP_URL of the workers, or its server.', 'soulfra mail list', 'GET', '/v1/mails')
        : by('Send it again.', `soulfra mail resend ${subject}`, 'POST', `/v1/mails/${subject}/resend`),
    otherwise: ({ subject }) =>
      subject === 'mail' ? 'Mails wait, and are tried again for up to a day.' : 'It is not sent again by itself.',
  },
  mail_unconfirmed: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        'Send it again; it then says that it is a copy.',
        `soulfra mail resend ${subject}`,
        'POST',
        `/v1/mails/${subject}/resend`,
      ),
    otherwise: () => 'It is not sent again by itself; it may have arrived.',
  },
  webhook_failing: {
    severity: 'warning',
    act: ({ subject, about }) =>
      about === ''
        ? by(
            'See which events did not arrive.',
            `soulfra webhooks deliveries ${subject}`,
            'GET',
            `/v1/webhooks/${subject}/deliveries`,
          )
        : by(
            'Mend the endpoint, then deliver the event again.',
            `soulfra webhooks redeliver ${subject} ${about}`,
            'POST',
            `/v1/webhooks/${subject}/deliveries/${about}/redeliver`,
          ),
    otherwise: () => 'The event was given up on; it closes with the next one that arrives.',
  },
  webhook_disabled: {
    severity: 'warning',
    act: ({ subject }) =>
      by('Let events go there again.', `soulfra webhooks enable ${subject}`, 'POST', `/v1/webhooks/${subject}/enable`),
    otherwise: ({ subject }) => `soulfra webhooks remove ${subject}; until then nothing is sent there.`,
  },
  guild_invite: {
    severity: 'info',
    act: ({ subject }) =>
      by('Say yes.', `soulfra invite answer ${subject} yes`, 'POST', `/v1/invites/${subject}/accept`),
    otherwise: ({ subject }) => `soulfra invite answer ${subject} no; past its time it expires.`,
  },
  channel_stopped: {
    severity: 'critical',
    act: ({ subject }) =>
      by(
        'Mend its secrets or its place, then let posts leave again.',
        `soulfra channels resume ${subject}`,
        'POST',
        `/v1/channels/${subject}/resume`,
      ),
    otherwise: () => 'Drops wait for it, and are missed after drops.missedAfter of fleet.yaml.',
  },
  replies_stopped: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        'Let its token read there, too, then have replies read again.',
        `soulfra channels resume ${subject}`,
        'POST',
        `/v1/channels/${subject}/resume`,
      ),
    otherwise: () => 'Drops are posted there all the same, and nobody hears what is replied.',
  },
  drop_schedule_paused: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        'Remove it, and add it anew with a time zone that is known.',
        `soulfra drops schedule remove ${subject}`,
        'DELETE',
        `/v1/drop-schedules/${subject}`,
      ),
    otherwise: () => 'Nothing is composed by it.',
  },
  delivery_failed: {
    severity: 'warning',
    act: ({ subject, key }) =>
      by(
        'Post it again.',
        `soulfra drop again ${subject} ${afterColon(key)}`,
        'POST',
        `/v1/drops/${subject}/deliveries/${afterColon(key)}/again`,
      ),
    otherwise: () => 'It is not posted there.',
  },
  delivery_unconfirmed: {
    severity: 'warning',
    act: ({ subject, key }) =>
      by(
        'Look at the channel; if it is there, say so.',
        `soulfra drop confirm ${subject} ${afterColon(key)}`,
        'POST',
        `/v1/drops/${subject}/deliveries/${afterColon(key)}/confirm`,
      ),
    otherwise: ({ subject, key }) =>
      `If it is not there: soulfra drop again ${subject} ${afterColon(key)}. By itself it is never posted twice.`,
  },
  drop_waiting: {
    severity: 'warning',
    act: ({ subject }) =>
      by('Let it be posted.', `soulfra drop approve ${subject}`, 'POST', `/v1/drops/${subject}/approve`),
    otherwise: ({ subject }) => `soulfra drop reject ${subject}; until then it waits.`,
  },
  agent_failing: {
    severity: 'warning',
    act: () => by('See what their last runs came to.', 'soulfra runs list', 'GET', '/v1/runs'),
    otherwise: () =>
      'They are tried again at every cadence. Who gets no new memories needs a source, or a pause: soulfra agents pause AGENT.',
  },
  worker_failing: {
    severity: 'critical',
    act: ({ subject }) =>
      by(
        'See what it polls, and its log; start it anew.',
        'soulfra machine list',
        'GET',
        subject === 'coordination' ? '/v1/machines' : `/v1/machines/${subject}`,
      ),
    otherwise: () => 'Work waits for it. It closes once it completes something.',
  },
  schedule_failing: {
    severity: 'warning',
    act: () =>
      by('See whether it is paused or what it starts hangs.', 'soulfra schedules list', 'GET', '/v1/schedules'),
    otherwise: () => 'What it starts is not done. A missing one is made by the next start of a worker.',
  },
  disk_low: {
    severity: 'critical',
    act: ({ subject }) =>
      by(`Make room on the disk of ${subject}.`, 'soulfra machine list', 'GET', `/v1/machines/${subject}`),
    otherwise: () => 'A full disk stops the database or the model server. It closes by itself once there is room.',
  },
  service_down: {
    severity: 'critical',
    act: ({ subject }) =>
      by('See why, on its machine; start it.', `soulfra services show ${subject}`, 'GET', `/v1/services/${subject}`),
    otherwise: () => 'What needs it does not work. It closes once the service is up.',
  },
  backup_old: {
    severity: 'critical',
    act: () => by('See why, and make one.', 'soulfra backup', 'GET', '/v1/backups'),
    otherwise: () => 'What is lost since the last one cannot be brought back. It closes once one has succeeded.',
  },
  archive_late: {
    severity: 'critical',
    act: () =>
      by(
        'See why in the log of Postgres (docs/runbooks.md, Archive late).',
        'soulfra health',
        'GET',
        '/v1/health/ready',
      ),
    otherwise: () => 'What has not left is lost with the disk, and fills it. It closes once changes leave again.',
  },
  certificate_ending: {
    severity: 'warning',
    act: () => by('Renew it.', 'soulfra health', 'GET', '/v1/health/ready'),
    otherwise: () => 'Nobody can connect once it has ended.',
  },
  token_ending: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        'Make another one of the same role and scopes, put it where this one is used, then revoke this one.',
        `soulfra token revoke ${subject}`,
        'GET',
        '/v1/tokens',
      ),
    otherwise: () => 'What calls with it is refused from then on. It closes a week after, or once it is revoked.',
  },
  notify_failing: {
    severity: 'critical',
    act: ({ subject }) =>
      by(
        'Mend its address or its secret, then try it.',
        `soulfra notify test ${subject}`,
        'POST',
        '/v1/notifications/test',
      ),
    otherwise: () => 'What it is to be told waits, and goes to the other destinations. It closes when one arrives.',
  },
  heartbeat_failing: {
    severity: 'warning',
    act: () =>
      by('See whether the address of notify.heartbeat answers.', 'soulfra notify list', 'GET', '/v1/notifications'),
    otherwise: () =>
      'Who watches from outside believes that the fleet is down. It closes with the next one that is heard.',
  },
  work_unclaimed: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        `Start ${subject}, or see why it takes no work.`,
        `soulfra services show ${subject}`,
        'GET',
        `/v1/services/${subject}`,
      ),
    otherwise: () =>
      'Its work waits until the deadline of each piece and expires then. It closes when somebody takes work.',
  },
  rollout_waiting: {
    severity: 'warning',
    act: ({ subject, about }) =>
      about === ''
        ? by('Do what it asks for, then answer.', `soulfra rollout show ${subject}`, 'GET', `/v1/rollouts/${subject}`)
        : by(
            'Do what it asks for, then say how it ended.',
            `soulfra rollout answer ${subject} ${about} done`,
            'POST',
            `/v1/rollouts/${subject}/packages/${about}/answer`,
          ),
    otherwise: ({ subject }) => `What depends on it waits. soulfra rollout show ${subject} has the words.`,
  },
  rollout_held: {
    severity: 'warning',
    act: ({ subject }) =>
      by(
        'See what failed, mend it, then let it go on.',
        `soulfra rollout show ${subject}`,
        'GET',
        `/v1/rollouts/${subject}`,
      ),
    otherwise: ({ subject }) =>
      `The rest waits. soulfra rollout resume ${subject} tries again, soulfra rollout skip passes a package over, soulfra rollout rollback ${subject} takes all back.`,
  },
};
