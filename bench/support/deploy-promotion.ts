import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import pg from 'pg';
import { serverTls } from '../../config/tls.ts';
import { lossOf, type PromoteOptions, promoteStandby } from '../../deploy/compose/promote.ts';
import { fencedName } from '../../deploy/compose/standby.ts';
import { createDatabase, type Database } from '../../stores/database.ts';
import { migrate } from '../../stores/migrate.ts';
import { readFigures } from '../../stores/queries/figures.ts';
import type { Box } from './deploy-box.ts';

/**
 * The pair of Postgres alone, under a writer that writes as the product does: each box loses its power in turn, and the standby is
 * promoted: while it is synchronous, in order while the first one lives, behind a cut line, and after somebody told the first one to wait no more.
 */
export interface PromotionFigures {
  synchronous: {
    acknowledged: number;
    /** Written while the standby had no power: nothing may be. */
    acknowledged_without_standby: number;
    /** Acknowledged, and not there after the promotion. */
    lost: number;
    rpo_s: number;
    rto_s: number;
    old_one_stays_out: boolean;
  };
  /** Promoted in order, while the first one lives and is written to. */
  fenced: { acknowledged: number; lost: number; rpo_s: number };
  /** Promoted while the line is cut, behind which the first one lives on and is written to. */
  cut: {
    acknowledged: number;
    /** While the line was cut: nothing may be. */
    acknowledged_behind_it: number;
    lost: number;
    rpo_s: number;
    /** Once the line is back. */
    old_one_is_fenced: boolean;
  };
  asynchronous: {
    /** What alert StandbyAsynchronous pages by. */
    alarmed: boolean;
    /** Without the operator's word. */
    refused: boolean;
    acknowledged: number;
    lost: number;
    /** Lost, and acknowledged before the moment that the promotion names. */
    lost_untold: number;
    rpo_s: number;
  };
}

interface Pair {
  /** Postgres of the coordinating box. */
  first: Box;
  /** The copy on the other box, and what has the first one wait for it. */
  copy: Box;
  /** The same once it is promoted. */
  promoted: Box;
}

export async function measurePromotion(options: {
  pair: Pair;
  /** Its folder is the standby's. */
  asked: Omit<PromoteOptions, 'oldIsOff' | 'fence' | 'say'>;
  firstFolder: string;
  addresses: { first: string; standby: string };
  /** Between both boxes. */
  cutTheLine: (isCut: boolean) => void;
  say: (text: string) => void;
}): Promise<PromotionFigures> {
  const { pair, asked, firstFolder, addresses, cutTheLine, say } = options;
  const { first, copy, promoted } = pair;
  const { folder } = asked;
  /** Of writers. */
  const ends: Array<() => Promise<void>> = [];
  const promote = (told: { oldIsOff?: boolean; fence?: boolean } = {}) =>
    promoteStandby({ ...asked, fence: false, oldIsOff: false, ...told, say });
  const allOff = () => Promise.all([first.powerOff(), copy.powerOff(), promoted.powerOff()]);
  try {
    const synchronous = await whileSynchronous();
    await anew();
    const fenced = await whileItAnswers();
    await anew();
    const cut = await whileTheLineIsCut();
    await anew();
    return { synchronous, fenced, cut, asynchronous: await afterBeingToldNotToWait() };
  } finally {
    for (const end of ends) await end();
    await allOff();
  }

  async function anew(): Promise<void> {
    await allOff();
    for (const at of [join(folder, 'promoted.json'), ...dataOf(folder), ...dataOf(firstFolder)])
      rmSync(at, { recursive: true, force: true });
  }

  async function whileItAnswers(): Promise<PromotionFigures['fenced']> {
    await Promise.all([first.up(), copy.up()]);
    const writer = await writeTo(addresses.first);
    await writer.reaches(500);
    const promotion = await promote({ fence: true });
    // It lives on, and is asked on.
    await pause(3_000);
    await writer.end();
    const kept = await rowsAt(addresses.standby);
    return {
      acknowledged: writer.acknowledged.size,
      lost: [...writer.acknowledged.keys()].filter((id) => !kept.has(id)).length,
      rpo_s: promotion.rpoSeconds,
    };
  }

  async function whileTheLineIsCut(): Promise<PromotionFigures['cut']> {
    await Promise.all([first.up(), copy.up()]);
    const writer = await writeTo(addresses.first);
    await writer.reaches(500);
    cutTheLine(true);
    let isCut = true;
    const back = () => {
      if (isCut) cutTheLine(false);
      isCut = false;
    };
    try {
      // What was on its way from the copy may have come.
      await pause(1_000);
      const before = writer.acknowledged.size;
      const promotion = await promote();
      await pause(5_000);
      const behind = writer.acknowledged.size - before;
      back();
      const isFenced = await firstIsFenced();
      await pause(3_000);
      await writer.end();
      const kept = await rowsAt(addresses.standby);
      return {
        acknowledged: writer.acknowledged.size,
        acknowledged_behind_it: behind,
        lost: [...writer.acknowledged.keys()].filter((id) => !kept.has(id)).length,
        rpo_s: promotion.rpoSeconds,
        old_one_is_fenced: isFenced,
      };
    } finally {
      back();
    }
  }

  /** By the one that took over, as soon as it sees it. */
  async function firstIsFenced(): Promise<boolean> {
    for (let tries = 0; tries < 60; tries += 1) {
      const [row] = await onFirst<{ names: string }>("select current_setting('synchronous_standby_names') as names");
      if (row!.names.includes(fencedName)) return true;
      await pause(1_000);
    }
    return false;
  }

  /** As who sits before the first one. */
  async function onFirst<Row extends object>(...texts: string[]): Promise<Row[]> {
    const admin = new pg.Client({
      host: join(firstFolder, 'data/run'),
      user: 'postgres',
      database: 'postgres',
      password: readFileSync(join(firstFolder, 'secrets/postgres_password'), 'utf8').trim(),
    });
    await admin.connect();
    try {
      let rows: Row[] = [];
      for (const text of texts) ({ rows } = await admin.query<Row>(text));
      return rows;
    } finally {
      await admin.end();
    }
  }

  async function whileSynchronous(): Promise<PromotionFigures['synchronous']> {
    await Promise.all([first.up(), copy.up()]);
    const writer = await writeTo(addresses.first);
    await writer.reaches(500);
    await copy.powerOff();
    // What was on its way to the copy may have come back.
    await pause(1_000);
    const before = writer.acknowledged.size;
    await pause(8_000);
    const without = writer.acknowledged.size - before;
    say(`the standby has no power: ${without} rows are acknowledged without it`);
    await copy.up();
    await writer.reaches(before + 500);
    const since = Date.now();
    await first.powerOff();
    await writer.end();
    const promotion = await promote();
    const kept = await rowsAt(addresses.standby);
    const rto = seconds(since);
    const back = await first.up().then(
      () => 'came up',
      (err: Error) => err.message,
    );
    return {
      acknowledged: writer.acknowledged.size,
      acknowledged_without_standby: without,
      lost: [...writer.acknowledged.keys()].filter((id) => !kept.has(id)).length,
      rpo_s: promotion.rpoSeconds,
      rto_s: rto,
      old_one_stays_out: back.includes('was promoted while this machine was away'),
    };
  }

  async function afterBeingToldNotToWait(): Promise<PromotionFigures['asynchronous']> {
    await Promise.all([first.up(), copy.up()]);
    const writer = await writeTo(addresses.first);
    await writer.reaches(500);
    await copy.powerOff();
    await onFirst("alter system set synchronous_standby_names = ''", 'select pg_reload_conf()');
    await writer.reaches(writer.acknowledged.size + 500);
    const alarm = (await readFigures(writer.db)).find(({ figure }) => figure === 'standbyAsynchronous');
    await first.powerOff();
    await writer.end();
    await copy.up();
    const refused = await promote().then(
      () => 'promoted',
      (err: Error) => err.message,
    );
    say(`without a word: ${refused}`);
    const promotion = await promote({ oldIsOff: true });
    const kept = await rowsAt(addresses.standby);
    const lost = [...writer.acknowledged].filter(([id]) => !kept.has(id));
    const told = Date.parse(promotion.missingSince ?? new Date(Number.MAX_SAFE_INTEGER).toISOString());
    return {
      alarmed: alarm?.value === 1 && lossOf(promotion).startsWith('ALARM'),
      refused: refused.includes('--old-is-off'),
      acknowledged: writer.acknowledged.size,
      lost: lost.length,
      lost_untold: lost.filter(([, at]) => at < told).length,
      rpo_s: promotion.rpoSeconds,
    };
  }

  function tls() {
    return serverTls({
      caFile: join(folder, 'tls/ca.crt'),
      certFile: join(folder, 'tls/api.crt'),
      keyFile: join(folder, 'tls/api.key'),
    })!.postgres;
  }

  function urlOf(address: string): string {
    const url = new URL(readFileSync(join(folder, 'secrets/database_url_by_address'), 'utf8').trim());
    url.hostname = address;
    return url.href;
  }

  function databaseAt(address: string): Database {
    return createDatabase({ url: urlOf(address), name: 'bench', tls: tls(), onIdleError: () => undefined });
  }

  async function rowsAt(address: string): Promise<Set<string>> {
    const db = databaseAt(address);
    try {
      return new Set((await sql<{ id: string }>`select id from acknowledged`.execute(db)).rows.map(({ id }) => id));
    } finally {
      await db.destroy();
    }
  }

  /** Four at once, each row once more until it is answered or the bench is over. */
  async function writeTo(address: string) {
    await migrate(urlOf(address), undefined, { tls: tls() });
    const db = databaseAt(address);
    await sql`create table acknowledged (id text primary key)`.execute(db);
    const acknowledged = new Map<string, number>();
    let ending = false;
    const write = async (turn: number) => {
      for (let n = 0; !ending; n += 1) {
        const id = `${turn}-${n}`;
        const done = await sql`insert into acknowledged values (${id}) on conflict do nothing`.execute(db).then(
          () => true,
          () => pause(200).then(() => false),
        );
        if (done) acknowledged.set(id, Date.now());
      }
    };
    const running = Promise.all([1, 2, 3, 4].map(write));
    let ended: Promise<void> | undefined;
    const end = async () => {
      ending = true;
      await running;
      await db.destroy();
    };
    ends.push(() => (ended ??= end()));
    return {
      db,
      acknowledged,
      async reaches(count: number) {
        const until = Date.now() + 120_000;
        while (acknowledged.size < count) {
          if (Date.now() > until) throw new Error(`${acknowledged.size} of ${count} rows are acknowledged after 120 s`);
          await pause(50);
        }
      },
      end: () => (ended ??= end()),
    };
  }
}

/** Everything that Postgres of a folder keeps. */
function dataOf(folder: string): string[] {
  const at = join(folder, 'data/postgres');
  return readdirSync(at).map((name) => join(at, name));
}

const seconds = (since: number) => Math.round((Date.now() - since) / 100) / 10;
