import { sql } from 'kysely';
import type { Executor } from './database.ts';

/**
 * Every advisory lock there is, each with a number of its own: any would do, these are ours, so that we wait for each other
 * and not for strangers. Numbers of released versions stay, since two versions may run side by side for a moment.
 */
export const lockNumbers = {
  /** The schema is brought up by one starter at a time. */
  migration: 7_205_411,
  /** One plan is computed at a time. */
  plan: 7_205_412,
  /** The version of fleet.yaml in force stays. */
  fleet: 7_205_413,
  /** One sweep at a time fills the windows of the queues. */
  sweep: 7_205_414,
  /** One starter makes the first user. */
  operator: 7_205_415,
  /** Of an owner: one run of clusters follows another. */
  clusters: 7_205_416,
  /** Of an owner: threads are woven by one at a time. */
  threads: 7_205_417,
  /** Who looks for room on the cards, and who takes it. */
  room: 7_205_418,
  /** One birth of a whisper at a time. */
  birth: 7_205_419,
  /** Who holds whose ego: one agent retires or comes back at a time. */
  lineage: 7_205_420,
  /** Of an owner: whispers are counted one after the other. */
  admission: 7_205_421,
  /** Of an owner: which model serves and which is built. */
  embeddingModels: 7_205_422,
  /** Of a source: its live secrets. */
  sourceSecrets: 7_205_423,
  /** One name of a draft is taken at a time. */
  name: 7_205_424,
  /** Of an owner: judgements of a period are asked for once. */
  judgements: 7_205_425,
  /** Of a purchase: what is left of its sale. */
  sale: 7_205_426,
  /** Of an owner: what a pass over the books has found is told by one at a time. */
  reconciliation: 7_205_427,
  /** Of an owner: loop packages are kept one after the other. */
  loopPackages: 7_205_460,
  /** Of a creator: what is on the way to them. */
  payouts: 7_205_470,
  /** Of an owner: which key signs. */
  signingKeys: 7_205_440,
  /** Of a founder: their guilds are counted one after the other. */
  guilds: 7_205_481,
  /** Of an inviter: what they send is counted one after the other. */
  invites: 7_205_482,
  /** Of an address: what it is mailed unasked is counted one after the other. */
  inviteMails: 7_205_483,
  /** Of an owner: endpoints are counted one after the other. */
  webhooks: 7_205_471,
  /** Of an owner: channels are counted one after the other. */
  channels: 7_205_480,
  /** Of an owner: schedules of drops are counted one after the other. */
  dropSchedules: 7_205_484,
  /** Of an owner: attempts share it while they are opened, who stops all posts has it alone. */
  dropStop: 7_205_485,
  /** Of a channel: attempts share it while they are opened, who changes the channel has it alone. */
  channel: 7_205_486,
  /** Of an owner: what is to be told is gathered by one at a time. */
  notifications: 7_205_530,
  /** Of an owner: deliveries that are under way are counted one after the other. */
  webhookTurns: 7_205_472,
  /** Of a process of the API: held while it lives, so that requests whose process has died are let go. */
  gatewayCaller: 7_205_550,
  /** One backup of a fleet is made at a time; held by the program's session, so it goes with a killed one. */
  backup: 7_205_560,
  /** Of an owner: one run of readiness is compared with the one before it. */
  readiness: 7_205_540,
  /** Roles of machines that have joined are made by one at a time. */
  machineLogins: 7_205_590,
  /** One try to restore at a time. */
  drill: 7_205_591,
  /** One reads the repository of backups and its copy to the last byte; backups are made beside it. */
  repositoryReading: 7_205_592,
} as const;

/**
 * Waits for the lock beside others who share it, and holds it until the transaction ends. Unlike rows that are locked for share, whoever
 * wants it alone is not passed by those who come after.
 */
export async function shareLock(tx: Executor, lock: keyof typeof lockNumbers, of: string): Promise<void> {
  await sql`select pg_advisory_xact_lock_shared(${lockNumbers[lock]}::integer, hashtext(${of}))`.execute(tx);
}

/** Waits for the lock and holds it until the transaction ends. @param of whose, where each has one of its own */
export async function takeLock(tx: Executor, lock: keyof typeof lockNumbers, of?: string): Promise<void> {
  const number = lockNumbers[lock];
  if (of === undefined) await sql`select pg_advisory_xact_lock(${number}::bigint)`.execute(tx);
  else await sql`select pg_advisory_xact_lock(${number}::integer, hashtext(${of}))`.execute(tx);
}
