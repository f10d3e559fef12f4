import type { Reading } from './client.ts';

/** Lists and things that an event of a noun makes old, where it is not `/v1/<noun>s` alone. */
const touchedBy: Record<string, readonly string[]> = {
  agent: ['/v1/agents', '/v1/fleet', '/v1/lineages', '/v1/drift'],
  blessings: ['/v1/ledger', '/v1/drops'],
  channel: ['/v1/channels', '/v1/deliveries'],
  cluster: ['/v1/clusters', '/v1/globe'],
  drop: ['/v1/drops', '/v1/deliveries'],
  drops: ['/v1/drops'],
  ego: ['/v1/agents', '/v1/ballots'],
  embeddings: ['/v1/memories', '/v1/agents/{id}/memories'],
  fleet: ['/v1/fleet', '/v1/machines', '/v1/agents', '/v1/services', '/v1/models'],
  globe: ['/v1/globe'],
  guild: ['/v1/guilds', '/v1/invites'],
  health: ['/v1/health', '/v1/inbox'],
  key: ['/v1/signing-keys'],
  ledger: ['/v1/ledger'],
  license: ['/v1/licenses', '/v1/purchases'],
  listing: ['/v1/listings'],
  machine: ['/v1/machines', '/v1/fleet', '/v1/models', '/v1/inbox'],
  memories: ['/v1/agents/{id}/memories'],
  memory: ['/v1/agents/{id}/memories', '/v1/memories', '/v1/globe'],
  message: ['/v1/messages', '/v1/agents/{id}/messages'],
  notice: ['/v1/inbox'],
  payout: ['/v1/payouts', '/v1/ledger', '/v1/inbox'],
  plan: ['/v1/fleet', '/v1/machines', '/v1/models', '/v1/services', '/v1/agents'],
  purchase: ['/v1/purchases', '/v1/refunds', '/v1/ledger', '/v1/licenses'],
  rollout: ['/v1/rollouts', '/v1/inbox'],
  run: ['/v1/runs', '/v1/sweeps', '/v1/fleet', '/v1/reflections'],
  service: ['/v1/services', '/v1/fleet/map', '/v1/health'],
  source: ['/v1/sources', '/v1/inbox'],
  sweep: ['/v1/sweeps', '/v1/fleet'],
  thread: ['/v1/threads', '/v1/globe'],
  user: ['/v1/users', '/v1/me'],
  whisper: ['/v1/whispers', '/v1/inbox'],
  work: ['/v1/work'],
};

/** What an event of a noun makes old: paths, each with all below it. */
export const touchedPaths = (noun: string): readonly string[] => touchedBy[noun] ?? [`/v1/${noun}s`];

/** Whether a reading is of what stands at a path or below it. */
export const isTouched = (operation: string, path: string): boolean =>
  operation === `GET ${path}` || operation.startsWith(`GET ${path}/`);

/** Of these no event tells: while one is open it is asked for again. */
const untold: ReadonlySet<Reading> = new Set<Reading>([
  'GET /v1/backups',
  'GET /v1/me',
  'GET /v1/notifications',
  'GET /v1/readiness',
  'GET /v1/readiness/runs',
  'GET /v1/restore-drills',
  'GET /v1/tokens',
]);
const untoldMs = 60_000;

/** How often a reading is asked for anew by itself. */
export const everyMsOf = (operation: Reading): number | undefined => (untold.has(operation) ? untoldMs : undefined);
