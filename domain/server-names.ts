/**
 * What our servers are called in their certificates: a client looks for these, whatever name or address it dials, so that a box may
 * move and a certificate never lists addresses.
 */
export const serverNames = {
  postgres: 'postgres.soulfra',
  redis: 'redis.soulfra',
  temporal: 'temporal.soulfra',
  join: 'join.soulfra',
} as const;

/** What a standby is called where the first Postgres waits for it, and keeps for it what it lacks. */
export const standbyName = 'soulfra_standby';
