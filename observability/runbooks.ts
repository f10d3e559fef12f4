/** Headings of docs/runbooks.md, as the anchors that Markdown makes of them; a test holds both together. */
export const runbookAnchors = [
  'agents-late',
  'api-slow',
  'archive-late',
  'backup-old',
  'certificate-near-its-end',
  'channel-down',
  'degraded-share',
  'error-budget',
  'gpu',
  'ledger-imbalance',
  'log-lines-lost',
  'machine-lost',
  'not-well',
  'nothing-is-scraped',
  'part-down',
  'purchases-stuck',
  'queue-backlog',
  'standby-asynchronous',
  'temporal-non-determinism',
  'temporal-requests-fail',
  'temporal-server-slow',
  'temporal-workers-behind',
  'temporal-workers-gone',
  'unconfirmed-drops',
] as const;
export type RunbookAnchor = (typeof runbookAnchors)[number];

/** As the repository has it, for alerts that are read anywhere. */
export function runbookPath(anchor: RunbookAnchor): string {
  return `docs/runbooks.md#${anchor}`;
}
