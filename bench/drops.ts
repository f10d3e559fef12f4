import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { createRandom, type Random } from '../domain/random.ts';
import { resumeDrops, stopDrops } from '../stores/channels.ts';
import { testFleet } from '../test/support/fleets.ts';
import { publishedDrop } from '../test/support/drops.ts';
import { type Lab, labOwner, type LabProcess, openLab, openLabServers, until } from '../test/support/lab.ts';
import { testWebhookKey } from '../test/support/outbound.ts';
import { type DropVerdict, judgeDrops } from './support/drop-judge.ts';
import { type DropServices, openDropServices } from './support/drop-services.ts';
import { dropSabotages, quickly } from './support/drop-sabotage.ts';
import { type Edit, type Protection, sabotagedSources, wantedProtection } from './support/sabotage.ts';

/**
 * Drops on four kinds of channels, while both workers are killed in turn, connections break before and after a post is made,
 * services hang, work on for longer than anybody waits, say 429 and 5xx, keys run out, and all posts are stopped in the middle. What is on the doubles is held against what the rows say, by rules of the
 * bench's own.
 */
const full = { drops: 1_000, kills: 20, harsh: false, stop: true };
const short = { drops: 80, kills: 8, harsh: true, stop: false };
/** Within this nothing leaves any more after `stop-all`, and then nothing through a restart of both workers and this long. */
const stopWithinMs = 2_000;
const stoppedMs = 10_000;
const seed = 20_266;

const leansOn = Object.keys(dropSabotages) as Protection[];

const { values: args } = parseArgs({
  options: {
    sabotage: { type: 'string' },
    drops: { type: 'string' },
    kills: { type: 'string' },
    /** The short round alone, where everything is in place. */
    short: { type: 'boolean' },
  },
});
const wanted = wantedProtection(args.sabotage, leansOn);

interface Size {
  drops: number;
  kills: number;
  /** More goes wrong with each post, and both workers die while an answer is waited for, so that a short round meets everything. */
  harsh: boolean;
  /** All posts are stopped in the middle, in full fire. */
  stop: boolean;
}
/** How long `stop-all` took to answer, and what was posted from two seconds after it was asked for until `resume-all`. */
interface Stopped {
  stopMs: number;
  afterStop: number;
}
type Verdict = DropVerdict &
  Stopped & { kills: number; expired: number; faults: number; slow: number; seconds: number };

if (args.short === true) {
  const control = await shortRound([]);
  progress('short, with all of them', control);
  const { exactLost, exactTwice, otherTwice, doubtfulUnlisted, drops, kills, slow } = control;
  report({
    drops,
    kills,
    exact_lost: exactLost,
    exact_twice: exactTwice,
    other_twice: otherTwice,
    doubtful_unlisted: doubtfulUnlisted,
    slow_requests: slow,
  });
  process.exitCode = isClean(control) ? 0 : 1;
} else if (wanted === undefined) {
  const size = {
    ...full,
    drops: args.drops === undefined ? full.drops : Number(args.drops),
    kills: args.kills === undefined ? full.kills : Number(args.kills),
  };
  const verdict = await round(size, undefined);
  progress('whole', verdict);
  // A short round where everything is in place: what the judge finds without a protection is due to that alone.
  const control = await shortRound([]);
  progress('short, with all of them', control);
  const caught: Record<string, boolean> = {};
  for (const protection of leansOn) {
    const without = await shortRound(dropSabotages[protection]!.edits);
    progress(`without ${protection}`, without);
    caught[protection] = isFound(protection, without);
  }
  const allCaught = isClean(control) && Object.values(caught).every(Boolean);
  report({
    drops: verdict.drops,
    kills: verdict.kills,
    exact_lost: verdict.exactLost,
    exact_twice: verdict.exactTwice,
    other_twice: verdict.otherTwice,
    doubtful_unlisted: verdict.doubtfulUnlisted,
    sabotage_caught: allCaught,
    sabotages: caught,
    control_clean: isClean(control),
    published: verdict.published,
    unconfirmed: verdict.unconfirmed,
    failed: verdict.failed,
    faults: verdict.faults,
    slow_requests: verdict.slow,
    keys_expired: verdict.expired,
    stop_all_ms: verdict.stopMs,
    sent_after_stop: verdict.afterStop,
    seconds: verdict.seconds,
  });
  const held = verdict.afterStop === 0 && verdict.stopMs < stopWithinMs;
  process.exitCode = isClean(verdict) && verdict.kills === size.kills && held && allCaught ? 0 : 1;
} else {
  const verdict = await shortRound(dropSabotages[wanted]!.edits);
  progress(`without ${wanted}`, verdict);
  const caught = isFound(wanted, verdict);
  const { exactLost, exactTwice, otherTwice, doubtfulUnlisted } = verdict;
  report({
    sabotage: wanted,
    exact_lost: exactLost,
    exact_twice: exactTwice,
    other_twice: otherTwice,
    doubtful_unlisted: doubtfulUnlisted,
    sabotage_caught: caught,
  });
  process.exitCode = caught ? 0 : 1;
}

function progress(name: string, { faultLines, ...verdict }: Verdict): void {
  process.stderr.write(`${name}: ${JSON.stringify(verdict)}\n`);
  for (const line of faultLines.slice(0, 20)) process.stderr.write(`  ${line}\n`);
}

function isClean({ exactLost, exactTwice, otherTwice, doubtfulUnlisted }: Verdict): boolean {
  return exactLost + exactTwice + otherTwice + doubtfulUnlisted === 0;
}

/** The judge has found what this protection prevents, and not only that something is wrong. */
function isFound(protection: Protection, verdict: Verdict): boolean {
  return verdict[dropSabotages[protection]!.finding] > 0;
}

async function shortRound(edits: readonly Edit[]): Promise<Verdict> {
  const copy = sabotagedSources('drops', [...quickly, ...edits]);
  try {
    return await round(short, copy.folder);
  } finally {
    copy.remove();
  }
}

async function round(size: Size, folder: string | undefined): Promise<Verdict> {
  const base = await openLabServers();
  const logs = mkdtempSync(join(tmpdir(), 'soulfra-drops-'));
  const random = createRandom(seed);
  const services = await openDropServices(random, size);
  // Workers take it over with the rest of this process's environment.
  process.env['SOULFRA_WEBHOOK_KEY'] = testWebhookKey;
  const lab = await openLab(base.addresses, {
    logs,
    workerLogLevel: 'warn',
    ...(folder === undefined ? {} : { sources: folder }),
  });
  try {
    return await attack(lab, services, size, random);
  } finally {
    await lab.close();
    await services.close();
    await base.close();
    rmSync(logs, { recursive: true, force: true });
  }
}

async function attack(lab: Lab, services: DropServices, size: Size, random: Random): Promise<Verdict> {
  const { db } = lab;
  await lab.apply({
    ...testFleet({ heavy: 1, light: 1 }),
    drops: { allowPrivate: ['127.0.0.1'], lateAfter: '1d', lateSpacing: '10m', missedAfter: '30d' },
  });
  const channels = await services.channelsOf(db, labOwner);
  // An hour that passes for a key passes for its account, too: see expireKeys.
  await sql`update channels set secrets_at = now() - interval '1 day'`.execute(db);
  const processes = new Map<string, LabProcess>();
  for (const machine of ['mainpc', 'pc2']) processes.set(machine, lab.startWorker(machine));
  await lab.settled(['mainpc', 'pc2'], 120_000);
  const startedAt = performance.now();
  for (let i = 0; i < size.drops; i += 1) {
    await publishedDrop(db, labOwner, { channels: [channels[i % channels.length]!] });
  }
  const done = new AbortController();
  const clock = expireKeys(lab, services, random, done.signal);
  let struck: Stopped & { kills: number };
  let expired = 0;
  try {
    struck = await strike(lab, services, processes, size, random);
    await until('every drop has ended', async () => (await openDrops(db)).length === 0, 900_000).catch(
      async (err: unknown) => {
        for (const line of await openDrops(db)) process.stderr.write(`  open: ${JSON.stringify(line)}\n`);
        throw err;
      },
    );
  } finally {
    done.abort();
    expired = await clock;
  }
  const seconds = Math.round((performance.now() - startedAt) / 1000);
  const verdict = await judgeDrops(db, services.posts());
  return { ...verdict, ...struck, expired, faults: services.faults(), slow: services.slow(), seconds };
}

/** What is still under way, for whoever asks why it takes so long. */
async function openDrops(db: Lab['db']) {
  const { rows } = await sql<Record<string, unknown>>`
    select p.id, p.state, c.kind, d.state as delivery, d.reason, round(extract(epoch from d.slot_at - now())) as slot,
      (select string_agg(coalesce(a.outcome, '-'), ' ' order by a.attempt) from delivery_attempts a where a.delivery_id = d.id) as attempts,
      (select round(extract(epoch from now() - max(a.began_at))) from delivery_attempts a where a.delivery_id = d.id) as since
    from drops p left join deliveries d on d.drop_id = p.id and d.ended_at is null left join channels c on c.id = d.channel_id
    where p.ended_at is null limit 30`.execute(db);
  return rows;
}

/** SIGKILL to both workers in turn, spread over the posts; each is started again at once. */
async function strike(
  lab: Lab,
  services: DropServices,
  processes: Map<string, LabProcess>,
  size: Size,
  random: Random,
): Promise<Stopped & { kills: number }> {
  const machines = [...processes.keys()];
  const ended = async () => {
    const { rows } = await sql<{
      ended: number;
    }>`select count(*) as ended from deliveries where ended_at is not null`.execute(lab.db);
    return rows[0]!.ended;
  };
  const kill = async (machine: string) => {
    await processes.get(machine)!.end('SIGKILL');
    processes.set(machine, lab.startWorker(machine));
  };
  let stopped: Stopped = { stopMs: 0, afterStop: 0 };
  let kills = 0;
  for (let i = 0; kills < size.kills; i += 1) {
    const due = ((kills + random.next() * 0.8) * size.drops * 0.8) / size.kills;
    await until(`${Math.round(due)} posts have ended`, async () => (await ended()) >= due, 600_000);
    await pause(random.int(500));
    if (size.stop && i === Math.floor(size.kills / 2) && size.kills - kills >= machines.length) {
      stopped = await stopAll(lab, services, () => Promise.all(machines.map(kill)));
      kills += machines.length;
      continue;
    }
    const struck = size.harsh ? machines : [machines[i % machines.length]!];
    if (size.harsh) await until('a service holds its answer back', () => isHeld(lab.db), 10_000).catch(() => undefined);
    await Promise.all(struck.map(kill));
    kills += struck.length;
  }
  return { ...stopped, kills };
}

/** An attempt where nobody can know is open for longer than any answer that comes takes: the post is there, and nobody has been told. */
async function isHeld(db: Lab['db']): Promise<boolean> {
  const { rows } = await sql<{ held: boolean }>`select exists (select from delivery_attempts a
    join deliveries d on d.id = a.delivery_id join channels c on c.id = d.channel_id
    where a.outcome is null and c.kind = 'slack_webhook' and a.began_at < now() - interval '2 seconds') as held`.execute(
    db,
  );
  return rows[0]!.held;
}

/** Everything is stopped while posts leave, both workers are killed and come back, and it goes on. What is sent then is counted at the services. */
async function stopAll({ db }: Lab, services: DropServices, killAll: () => Promise<unknown>): Promise<Stopped> {
  const askedAt = Date.now();
  await db.transaction().execute((tx) => stopDrops(tx, labOwner, 'in the middle'));
  const stopMs = Date.now() - askedAt;
  await pause(Math.max(0, stopWithinMs - stopMs));
  await killAll();
  await pause(stoppedMs);
  // Sent, not posted: a service may be at work for long on what left before.
  const afterStop = services.sent().filter(({ at }) => at > askedAt + stopWithinMs).length;
  await db.transaction().execute((tx) => resumeDrops(tx, labOwner));
  return { stopMs, afterStop };
}

/**
 * Lets an hour pass for one post in doubt after another: its key is gone at the service, and its first attempt is as old. Nobody
 * else can touch it meanwhile.
 */
async function expireKeys({ db }: Lab, services: DropServices, random: Random, ended: AbortSignal): Promise<number> {
  let expired = 0;
  while (!ended.aborted) {
    await pause(200);
    if (random.next() < 0.5) continue;
    expired += await db.transaction().execute(async (tx) => {
      const { rows } = await sql<{ id: string; dropId: string }>`
        select d.id, d.drop_id as "dropId" from deliveries d join channels c on c.id = d.channel_id
        where d.state = 'pending' and c.kind = 'mastodon' and exists (
          select from delivery_attempts a where a.delivery_id = d.id and a.outcome = 'unknown')
        limit 1 for update of d skip locked`.execute(tx);
      const [one] = rows;
      if (one === undefined) return 0;
      await sql`update delivery_attempts set began_at = began_at - interval '1 hour' where delivery_id = ${one.id}`.execute(
        tx,
      );
      services.expire(one.dropId);
      return 1;
    });
  }
  return expired;
}

function report(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}
