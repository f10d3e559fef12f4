import { createConnection } from 'node:net';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { writeDurably } from '../embedded/home.ts';
import { readIfThere } from './folder.ts';
import { secretFiles } from './made-once.ts';
import { fencedName } from './standby.ts';

/**
 * Makes the standby the first one: the old one is fenced, the copy promoted, everything else begun on it. Each step may be done twice,
 * so a promotion that was cut off at any line is done again from its beginning.
 */

/** Kept in the folder: by which first one its machine goes. */
interface Mark {
  from: string;
  to: string;
  begunAt: string;
}

/** On the standby itself, from before the copy is promoted: a repeat tells what the first try found. */
export interface Promotion extends Mark {
  /** How it was made sure that the old one acknowledges nothing any more. */
  fence: 'fenced' | 'waits_for_the_copy' | 'said_to_be_off';
  /** When the old one was last heard of; null: it was asked just now, or never was heard. */
  lastWordAt: string | null;
  /** What it acknowledged after this moment may be missing; null: nothing is. */
  missingSince: string | null;
  /** It waited for the copy when it was last heard of, long before the end: whether it was told then to wait no more is not known here. */
  unheard: boolean;
  /** At most so much is lost. */
  rpoSeconds: number;
}

export interface StandbyHost {
  /** Runs `standby-sql.sh` with these words. */
  ask(...words: string[]): Promise<string>;
  answers(address: string, port: number): Promise<boolean>;
  /** Brings up everything that the first one runs. A second time it changes nothing. */
  takeOver(): Promise<void>;
}

export interface PromoteOptions {
  folder: string;
  site: DeploySite;
  standby: FleetMachine;
  host: StandbyHost;
  /** Where the old one still answers: have it acknowledge nothing more, and take over all that it has. */
  fence: boolean;
  /** The operator's word that the old one has no power. */
  oldIsOff: boolean;
  say: (text: string) => void;
}

const markName = 'promoted.json';
const catchUpMs = 60_000;
/** A last word that is older was not the last thing that happened: who is not heard may be told to wait no more. */
const wordHoldsMs = 60_000;

/** What the folder says of a promotion between these two machines; one of before an `init` that followed it is none. */
export function promotionIn(folder: string, { coordination, standby }: DeploySite): Mark | undefined {
  const text = readIfThere(join(folder, markName));
  if (text === undefined) return undefined;
  const mark = JSON.parse(text) as Mark;
  return mark.from === coordination.id && mark.to === standby?.id ? mark : undefined;
}

/** On the disk before what cannot be undone begins: where the power goes in between, it is done again. */
export function markPromotion(folder: string, promotion: Mark): void {
  writeDurably(join(folder, markName), `${JSON.stringify(promotion, null, 2)}\n`, 0o644);
}

/** One that fleet.yaml has caught up with says nothing any more. */
export function dropOldPromotion(folder: string, site: DeploySite): void {
  if (existsSync(join(folder, markName)) && promotionIn(folder, site) === undefined) rmSync(join(folder, markName));
}

/**
 * What a promoted machine was not brought is not made there anew: the data it took over, and what is sealed in it, open with those of
 * before.
 */
export function refuseNewSecrets(folder: string): void {
  const lacking = secretFiles.filter((file) => !existsSync(join(folder, file)));
  if (lacking.length === 0 || !existsSync(join(folder, markName))) return;
  throw new DomainError(
    'CONFLICT',
    `${folder} took over from another machine and lacks what belongs to the data: ${lacking.join(', ')}. Copy them from the folder of that machine, as they are; nothing was changed`,
  );
}

export async function promoteStandby(options: PromoteOptions): Promise<Promotion> {
  const { folder, site, standby, host, say } = options;
  const begun = promotionIn(folder, site) as Promotion | undefined;
  const copies = await follows(host, standby);
  if (!copies && begun === undefined)
    throw new DomainError(
      'CONFLICT',
      `Postgres on ${standby.id} follows nobody, and no promotion was begun in ${folder}: it is no copy of ${site.coordination.id}. \`soulfra deploy apply --machine ${standby.id}\` makes it one`,
    );
  // Again on a repeat: it may have come back in between. Once the copy is a first one it is too late to ask.
  const fenced = copies ? await fenceOld(options) : undefined;
  const promotion: Promotion = {
    from: site.coordination.id,
    to: standby.id,
    begunAt: begun?.begunAt ?? new Date().toISOString(),
    ...worseOf(begun, fenced),
  };
  markPromotion(folder, promotion);
  say(lossOf(promotion));
  // The copy starts as a first one from here on, also where it is killed before it has said that it is one.
  await host.ask('mark');
  if (copies) {
    say(`Postgres on ${standby.id}: is promoted`);
    await host.ask('promote').catch((err: Error) => {
      throw new DomainError(
        'UNAVAILABLE',
        `Postgres on ${standby.id} did not end its recovery (${err.message}): run it again. Is ${site.coordination.id} to go on in its place, give it up as deploy/runbooks/04-promote-the-standby.md says: until then nobody acknowledges anything there once ${standby.id} starts anew`,
        { cause: err },
      );
    });
  }
  // A copy of a first one that waited for somebody would wait for the same.
  await host.ask('own', 'alter system reset synchronous_standby_names');
  await host.ask('own', 'select pg_reload_conf()');
  await host.takeOver();
  return promotion;
}

export function lossOf({ from, fence, lastWordAt, missingSince, unheard, rpoSeconds }: Promotion): string {
  if (fence === 'fenced') return `${from} is fenced, and the copy has all that it had: RPO 0 s`;
  if (missingSince === null)
    return `${from} does not answer; it waited for the copy when it was last heard of, at ${lastWordAt}: nothing acknowledged is missing, unless somebody told it since to wait no more. RPO 0 s`;
  if (unheard)
    return `ALARM: ${from} waited for the copy when it was last heard of, at ${lastWordAt}. Where it was told after that to wait no more, what it acknowledged since ${missingSince} is missing here: RPO at most ${rpoSeconds} s; else nothing is`;
  return `ALARM: the copy was asynchronous. What ${from} acknowledged after ${missingSince} is missing here: RPO at most ${rpoSeconds} s`;
}

async function follows(host: StandbyHost, standby: FleetMachine): Promise<boolean> {
  const said = await host.ask('own', 'select pg_is_in_recovery()').catch((err: Error) => {
    throw new DomainError(
      'UNAVAILABLE',
      `Postgres on ${standby.id} does not answer (${err.message}), so there is nothing to promote: \`soulfra deploy apply --machine ${standby.id}\` starts it, its log says why it ended`,
      { cause: err },
    );
  });
  return said === 't';
}

type Fenced = Pick<Promotion, 'fence' | 'lastWordAt' | 'missingSince' | 'unheard' | 'rpoSeconds'>;

/** On a repeat the old one may have come back in between, and acknowledged: the graver of both, unless all that it had was taken over. */
function worseOf(begun: Fenced | undefined, again: Fenced | undefined): Fenced {
  const found = again ?? begun!;
  if (begun === undefined || again === undefined || again.fence === 'fenced') return pickFenced(found);
  if (begun.missingSince === null) return pickFenced(again);
  if (again.missingSince === null) return pickFenced(begun);
  const graver = begun.missingSince < again.missingSince ? begun : again;
  return { ...pickFenced(graver), rpoSeconds: Math.max(begun.rpoSeconds, again.rpoSeconds) };
}

function pickFenced({ fence, lastWordAt, missingSince, unheard, rpoSeconds }: Fenced): Fenced {
  return { fence, lastWordAt, missingSince, unheard, rpoSeconds };
}

async function fenceOld(options: PromoteOptions): Promise<Fenced> {
  const { site, host, fence } = options;
  const old = site.coordination.id;
  const address = site.addresses[old]!;
  // Why it does not answer makes no difference: its ports say whether anything of it lives.
  const waitsFor = await host.ask('primary', 'show synchronous_standby_names').catch(() => undefined);
  if (waitsFor !== undefined) {
    if (!waitsFor.includes(fencedName) && !fence)
      throw new DomainError(
        'CONFLICT',
        `${old} still answers at ${address}: two of one fleet would post and pay twice, and part the data. Power it off (or stop it there), then promote again; or promote --fence, which has its Postgres acknowledge nothing more and takes over all that it has`,
      );
    await fenceByPostgres(options, waitsFor.includes(fencedName));
    return { fence: 'fenced', lastWordAt: null, missingSince: null, unheard: false, rpoSeconds: 0 };
  }
  const ports = [site.ports.postgres, site.ports.temporal, site.ports.https];
  const open = (
    await Promise.all(ports.map(async (port) => ((await host.answers(address, port)) ? [port] : [])))
  ).flat();
  if (open.length > 0)
    throw new DomainError(
      'CONFLICT',
      `${old} still answers at ${address} (port ${open.join(', ')}), and its Postgres cannot be told to stop from here: power it off, or stop it there, then promote again`,
    );
  return silent(options);
}

/** Nothing that it acknowledged so far is lacking here, and it acknowledges nothing from now on. */
async function fenceByPostgres({ site, host, say }: PromoteOptions, isFenced: boolean): Promise<void> {
  const old = site.coordination.id;
  if (!isFenced) {
    await host.ask('primary', `alter system set synchronous_standby_names = 'FIRST 1 (${fencedName})'`);
    say(`Postgres on ${old}: is fenced`);
  }
  await host.ask('primary', 'select pg_reload_conf()');
  const provenUntil = Date.now() + catchUpMs;
  // The setting is taken up by the checkpointer, which a slow disk may hold up: until a commit waits, others are acknowledged.
  while ((await host.ask('fenced')) !== 't') {
    if (Date.now() > provenUntil)
      throw new DomainError(
        'UNAVAILABLE',
        `${old} still acknowledges what is written there, ${catchUpMs / 1000} s after it was told to wait: run it again, or power it off`,
      );
    await pause(500);
  }
  const end = await host.ask('primary', 'select pg_current_wal_flush_lsn()');
  const until = Date.now() + catchUpMs;
  while ((await host.ask('own', `select pg_last_wal_replay_lsn() >= '${end}'::pg_lsn`)) !== 't') {
    if (Date.now() > until)
      throw new DomainError(
        'UNAVAILABLE',
        `${old} is fenced, and after ${catchUpMs / 1000} s the copy still lacks what it has (up to ${end}): is the line between them up? Run it again; or have ${old} go on: there, in psql, alter system reset synchronous_standby_names; select pg_reload_conf();`,
      );
    await pause(500);
  }
}

/** It does not answer: dead, or behind a cut line. By its last word it can acknowledge nothing without the copy, or it can. */
async function silent({ site, standby, host, oldIsOff }: PromoteOptions): Promise<Fenced> {
  const old = site.coordination.id;
  const [mode, at] = (await host.ask('word')).trim().split(' ');
  const lastWordAt = at === undefined ? null : new Date(Number(at) * 1000).toISOString();
  const unheard = mode === 'unheard' || (mode === 'synchronous' && Date.now() - Number(at) * 1000 > wordHoldsMs);
  if (mode === 'synchronous' && !unheard)
    return {
      fence: oldIsOff ? 'said_to_be_off' : 'waits_for_the_copy',
      lastWordAt,
      missingSince: null,
      unheard: false,
      rpoSeconds: 0,
    };
  const replayed = await host.ask(
    'own',
    // One that has replayed nothing since it began knows at least of when its last checkpoint is.
    // A commit takes its time before its place among the others, so some of the last second may be missing.
    'select floor(extract(epoch from coalesce(pg_last_xact_replay_timestamp(), (select checkpoint_time from pg_control_checkpoint())))::numeric - 1)::bigint',
  );
  // As long as it waited for the copy, the copy has all that it acknowledged.
  const since = Math.max(Number(replayed), unheard ? Number(at) : 0);
  const missingSince = new Date(since * 1000).toISOString();
  const rpoSeconds = Math.max(0, Math.round(Date.now() / 1000 - since));
  if (!oldIsOff)
    throw new DomainError(
      'CONFLICT',
      `${old} does not answer, and ${
        unheard
          ? `it was last heard of by ${standby.id} at ${lastWordAt}, when it waited for the copy: nobody here knows whether it was told since to wait no more, so it`
          : `when it was last heard of (${lastWordAt ?? 'never'}) it did not wait for the copy on ${standby.id}: it`
      } may go on behind a cut line, and acknowledge. Power it off, then promote --old-is-off; what it acknowledged after ${missingSince} is then lost (RPO at most ${rpoSeconds} s)`,
    );
  return { fence: 'said_to_be_off', lastWordAt, missingSince, unheard, rpoSeconds };
}

/** Whether anybody takes a connection there. */
export function answersAt(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ host, port, timeout: 5_000 });
    const end = (is: boolean) => {
      socket.destroy();
      resolve(is);
    };
    socket
      .once('connect', () => end(true))
      .once('timeout', () => end(false))
      .once('error', () => end(false));
  });
}
