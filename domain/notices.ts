/** What a person is told: every kind of notice there is. What each asks for stands in notice-acts.ts. */
export const noticeKinds = [
  'machine_lost',
  'parked_work',
  'model_server_down',
  'gpu_differs',
  'source_failing',
  'source_secret_unreadable',
  'memory_limit',
  'tokens_spent',
  'consolidation_failing',
  'drift_failing',
  'weaving_failing',
  'embedding_failing',
  'embedding_model_failing',
  'clustering_failing',
  'whisper_waiting',
  'ledger_unbalanced',
  'readiness_critical',
  'dispute_open',
  'dispute_differs',
  'refund_failed',
  'refund_differs',
  'payment_beyond',
  'payment_differs',
  'payment_stuck',
  'payout_waiting',
  'payout_failing',
  'payout_refused',
  'payout_no_threshold',
  'payouts_held',
  'purchase_stuck',
  'listing_taken_down',
  'mail_failing',
  'mail_unconfirmed',
  'webhook_failing',
  'webhook_disabled',
  'guild_invite',
  'channel_stopped',
  'replies_stopped',
  'drop_schedule_paused',
  'delivery_failed',
  'delivery_unconfirmed',
  'drop_waiting',
  'agent_failing',
  'worker_failing',
  'schedule_failing',
  'disk_low',
  'service_down',
  'backup_old',
  'archive_late',
  'certificate_ending',
  'token_ending',
  'notify_failing',
  'heartbeat_failing',
  'work_unclaimed',
  'rollout_waiting',
  'rollout_held',
] as const;
export type NoticeKind = (typeof noticeKinds)[number];

/** The least first. */
export const severities = ['info', 'warning', 'critical'] as const;
export type Severity = (typeof severities)[number];

export function isAtLeast(severity: Severity, least: Severity): boolean {
  return severities.indexOf(severity) >= severities.indexOf(least);
}

/** What no code can see the end of: a person says that it is done. Every other notice closes when its cause is gone. */
export const endedByPerson: readonly NoticeKind[] = [
  'dispute_differs',
  'payment_beyond',
  'payment_differs',
  'payment_stuck',
  'payouts_held',
  'refund_differs',
  'refund_failed',
];
