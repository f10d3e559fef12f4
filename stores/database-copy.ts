import { createHash } from 'node:crypto';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import type { ConnectionOptions } from 'node:tls';
import { finished } from 'node:stream/promises';
import { setTimeout as pause } from 'node:timers/promises';
import pg from 'pg';
import { from as copyFrom, type CopyStreamQuery, to as copyTo } from 'pg-copy-streams';
import type { LedgerFigures, TableFigures } from '../domain/backups.ts';
import { DomainError } from '../domain/errors.ts';
import { databaseOver } from './database.ts';
import { newId } from './ids.ts';
import { insertIntent, type Intent } from './intents.ts';
import { beginAnew } from './overdue-workflows.ts';
import { payoutsHeldKey } from './payouts-due.ts';

const endWithinMs = 3_000;

/** Written by our migrations alone: a restore makes it by running them. */
const ownTable = 'migrations';

/** What the data of the fleet's own application looks like, read or compared table by table. */
export interface CopiedTable {
  name: string;
  /** Those that are stored; generated ones are made anew. */
  columns: string[];
}

async function connected(url: string, name: string, tls?: ConnectionOptions): Promise<pg.Client> {
  const client = new pg.Client({
    connectionString: url,
    ...(tls && { ssl: tls }),
    application_name: name,
    keepAlive: true,
  });
  // The next query brings the error to who asks.
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A copy that was broken off may never end; its connection then goes with the process. */
async function ended(client: pg.Client): Promise<void> {
  await Promise.race([client.end(), pause(endWithinMs, undefined, { ref: false })]);
}

const identifier = (name: string) => pg.escapeIdentifier(name);
const listOf = (columns: readonly string[]) => columns.map(identifier).join(', ');

async function tablesOf(client: pg.Client): Promise<CopiedTable[]> {
  const { rows } = await client.query<CopiedTable>(
    `select c.relname as name, array_agg(a.attname::text order by a.attnum) as columns
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
     where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname <> $1
     group by c.relname order by c.relname`,
    [ownTable],
  );
  return rows;
}

async function figuresOf(client: pg.Client, { name, columns }: CopiedTable): Promise<TableFigures> {
  const { rows } = await client.query<{ rows: string; hash: string }>(
    `select count(*)::text as rows, coalesce(sum(hashtextextended(row(${listOf(columns)})::text, 0)), 0)::text as hash
     from public.${identifier(name)}`,
  );
  return { rows: Number(rows[0]!.rows), hash: rows[0]!.hash };
}

/** Transaction numbers are left out: they begin anew in another cluster. */
async function ledgerOf(client: pg.Client): Promise<LedgerFigures> {
  const sums = await client.query<{ currency: string; sum: string }>(
    'select currency, sum(amount)::text as sum from ledger_entries group by currency order by currency',
  );
  const counts = await client.query<{ transfers: string; entries: string }>(
    'select (select count(*) from ledger_transfers)::text as transfers, (select count(*) from ledger_entries)::text as entries',
  );
  const hash = createHash('sha256');
  const lines = client.query(
    copyTo(
      `copy (select t.seq, t.id, t.owner_id, t.kind, t.currency, t.purchase_id, t.reason, t.made_by, t.content_hash, t.at,
        e.ordinal, e.account_id, e.amount, e.balance, e.version
        from ledger_transfers t left join ledger_entries e on e.transfer_id = t.id order by t.seq, e.ordinal) to stdout`,
    ),
  );
  for await (const piece of lines) hash.update(piece as Buffer);
  return {
    transfers: Number(counts.rows[0]!.transfers),
    entries: Number(counts.rows[0]!.entries),
    sums: Object.fromEntries(sums.rows.map(({ currency, sum }) => [currency, sum])),
    hash: hash.digest('hex'),
  };
}

/** Opens a reader of one moment of the database. The moment is that of `take`. */
export async function openSnapshot(url: string) {
  const client = await connected(url, 'soulfra backup');
  return {
    /** From here on every reading is of this moment. A transaction that only reads holds back nobody's events. */
    async take(): Promise<void> {
      await client.query('begin isolation level repeatable read, read only');
      await client.query('select pg_current_snapshot()');
    },
    async head(): Promise<{ migrations: string[]; major: number; bytes: number }> {
      const migrations = await client.query<{ name: string }>(`select name from ${ownTable} order by name`);
      const version = await client.query<{ major: number; bytes: string }>(
        `select current_setting('server_version_num')::int / 10000 as major, coalesce(sum(pg_table_size(oid)), 0)::text as bytes
         from pg_class where relnamespace = 'public'::regnamespace and relkind = 'r'`,
      );
      return {
        migrations: migrations.rows.map(({ name }) => name),
        major: version.rows[0]!.major,
        bytes: Number(version.rows[0]!.bytes),
      };
    },
    tables: () => tablesOf(client),
    figures: (table: CopiedTable) => figuresOf(client, table),
    ledger: () => ledgerOf(client),
    /** As Postgres writes it for every version of itself. To be read to its end before anything else is asked. */
    read: ({ name, columns }: CopiedTable): Readable =>
      client.query(copyTo(`copy public.${identifier(name)} (${listOf(columns)}) to stdout`)),
    /** They follow no transaction: what is read here is at least what the snapshot used. */
    async sequences(): Promise<Record<string, string | null>> {
      const { rows } = await client.query<{ name: string; last: string | null }>(
        `select sequencename as name, last_value::text as last from pg_sequences where schemaname = 'public' order by 1`,
      );
      return Object.fromEntries(rows.map(({ name, last }) => [name, last]));
    },
    end: () => ended(client),
  };
}
export type Snapshot = Awaited<ReturnType<typeof openSnapshot>>;

/**
 * Fills a database that has the schema of the backup and nothing that counts, in one transaction. Triggers and references do
 * not act: they did when the rows were first written.
 * @param options.mustBeEmpty CONFLICT where a fleet lives there, also one that came a moment ago
 */
export async function openLoader(
  url: string,
  { tls, mustBeEmpty = false }: { tls?: ConnectionOptions | undefined; mustBeEmpty?: boolean } = {},
) {
  const client = await connected(url, 'soulfra restore', tls);
  const tables = new Map((await tablesOf(client)).map((table) => [table.name, table]));
  await client.query('set session_replication_role = replica');
  await client.query('begin');
  const names = [...tables.keys()].map((name) => `public.${identifier(name)}`);
  if (mustBeEmpty) {
    await refuseLiving(client);
    await removeSeeds(client, names);
  } else if (names.length > 0) await client.query(`truncate ${names.join(', ')}`);
  let open: { name: string; stream: CopyStreamQuery } | undefined;

  async function close(): Promise<void> {
    if (open === undefined) return;
    const { stream } = open;
    open = undefined;
    stream.end();
    await finished(stream);
  }

  return {
    tables,
    /** Pieces of one table come one after another. @param columns as the backup had them */
    async write(name: string, columns: readonly string[], piece: Buffer): Promise<void> {
      if (open?.name !== name) {
        await close();
        open = {
          name,
          stream: client.query(copyFrom(`copy public.${identifier(name)} (${listOf(columns)}) from stdin`)),
        };
        // Told by whoever waits for it next.
        open.stream.on('error', () => undefined);
      }
      const { stream } = open;
      if (stream.errored) throw stream.errored;
      if (!stream.write(piece)) await once(stream, 'drain');
    },
    /** What was loaded, as `differences` compares it. */
    async figures(): Promise<{ tables: Record<string, TableFigures>; ledger: LedgerFigures }> {
      await close();
      const found: Record<string, TableFigures> = {};
      for (const table of tables.values()) found[table.name] = await figuresOf(client, table);
      return { tables: found, ledger: await ledgerOf(client) };
    },
    async commit(sequences: Readonly<Record<string, string | null>>, settle?: SettleLoaded): Promise<void> {
      await close();
      for (const [name, last] of Object.entries(sequences)) {
        // A sequence that was never used begins where its maker said.
        await client.query(
          `select setval(format('%I.%I', schemaname, sequencename)::regclass, coalesce($2::bigint, start_value), $2::bigint is not null)
           from pg_sequences where schemaname = 'public' and sequencename = $1`,
          [name, last],
        );
      }
      await settle?.(client);
      await client.query('commit');
    },
    end: () => ended(client),
  };
}
/** Writes beside the rows that were loaded, in their transaction. */
export type SettleLoaded = (client: pg.Client) => Promise<void>;

/** Transaction numbers of the old cluster would hide events and reopen transfers; who reads events by a cursor begins a new count. */
async function beginGeneration(
  client: pg.Client,
  { id, madeAt }: { id: string; madeAt: string },
): Promise<{ generation: number }> {
  await client.query(`update events set xid = '0'`);
  await client.query(`update ledger_transfers set xid = '0'`);
  const { rows } = await client.query<{ generation: number }>(
    `insert into restores (generation, backup_id, made_at, last_event_id)
     -- Restored once more, an older backup does not know of the generations since: seconds since 2026 are theirs alone.
     select greatest(coalesce(max(generation), 0) + 1, extract(epoch from now() - timestamptz '2026-01-01 00:00Z')::int), $1, $2, (select coalesce(max(id), 0) from events) from restores
     returning generation`,
    [id, madeAt],
  );
  return rows[0]!;
}

/** What was paid to creators since the backup is owed to them again in these books: a person looks before anybody is paid. */
async function holdPayouts(client: pg.Client, madeAt: string): Promise<void> {
  const { rows } = await client.query<{ ownerId: string }>(
    `select distinct owner_id as "ownerId" from ledger_accounts where kind = 'creator'`,
  );
  for (const { ownerId } of rows) {
    await client.query(
      `insert into notices (id, owner_id, kind, key, subject, title, detail, action) values ($1, $2, 'payouts_held', $3, $2, $4, $5, $6)
       on conflict (key) where resolved_at is null do update set seen = notices.seen + 1, title = excluded.title`,
      [
        newId('notice'),
        ownerId,
        payoutsHeldKey(ownerId),
        `payouts are held: the books were restored as of ${madeAt}`,
        'What was paid since then is not in them, and would be paid once more.',
        'See at the provider what has left since; docs/backup.md says how it is booked. Then say that it is done.',
      ],
    );
  }
}

/**
 * Makes the restored rows those of a fleet that goes on: transaction numbers of the old cluster would hide events and reopen
 * transfers, what is still to be posted or paid waits for a person, and the backup that was being made is done.
 */
export async function settleRestored(
  url: string,
  backup: { id: string; madeAt: string; bytes: number; rows: number },
): Promise<{ generation: number }> {
  const client = await connected(url, 'soulfra restore');
  try {
    await client.query('set session_replication_role = replica');
    await client.query('begin');
    const begun = await beginGeneration(client, backup);
    await client.query(
      `update backups set state = 'done', ended_at = clock_timestamp(), bytes = $2, row_count = $3 where id = $1`,
      [backup.id, backup.bytes, backup.rows],
    );
    await client.query(
      `update backups set state = 'failed', ended_at = clock_timestamp(), reason = 'it was cut off' where state = 'running'`,
    );
    await client.query(
      `update restore_drills set state = 'failed', ended_at = clock_timestamp(), reason = 'it was cut off' where state = 'running'`,
    );
    // What left since the backup is not known here, and would leave once more.
    await client.query(`update drop_stops set stopped_at = coalesce(stopped_at, now()), reason = $1`, [
      `restored as of ${backup.madeAt}: what was posted since would be posted again`,
    ]);
    await holdPayouts(client, backup.madeAt);
    await client.query('commit');
    await client.query('analyze');
    return begun;
  } finally {
    await client.end();
  }
}

/** A move is told from a restore by this. */
const moveOf = (id: string) => `move-${id}`;

/** @returns `here`: this very fleet was moved in; `another`: some fleet lives in the database; `none`: it has only its schema */
export async function movedState(
  url: string,
  id: string,
  tls?: ConnectionOptions,
): Promise<'here' | 'another' | 'none'> {
  const client = await connected(url, 'soulfra move', tls);
  try {
    const { rows } = await client.query<{ here: boolean }>(
      `select exists (select from restores where backup_id = $1) as here`,
      [moveOf(id)],
    );
    if (rows[0]!.here) return 'here';
    return (await fleetLives(client)) ? 'another' : 'none';
  } finally {
    await client.end();
  }
}

async function fleetLives(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ lives: boolean }>(
    `select exists (select from users) or exists (select from fleet_versions) as lives`,
  );
  return rows[0]!.lives;
}

/** What migrations write by themselves. A role that is no superuser may not truncate the ledger, not even where it is empty. */
async function removeSeeds(client: pg.Client, tables: readonly string[]): Promise<void> {
  const looks = tables.map((table, i) => `select ${i} as at where exists (select from ${table})`);
  const { rows } = await client.query<{ at: number }>(looks.join(' union all '));
  for (const { at } of rows) await client.query(`delete from ${tables[at]}`);
}

/** Whoever writes there waits from here on, so what this does not find does not come before the tables are emptied. */
async function refuseLiving(client: pg.Client): Promise<void> {
  await client.query('lock table users, fleet_versions in access exclusive mode');
  if (await fleetLives(client))
    throw new DomainError('CONFLICT', 'a fleet has come to live in this database meanwhile: nothing was written');
}

/**
 * Makes the rows of a fleet that was moved those of one that goes on, in the transaction that loaded them. It stood still since: nothing
 * was posted or paid that is not in them, so nothing is held.
 * @param workflows which the old Temporal had open and the rows do not ask for by themselves
 * @returns how many workflows the new Temporal is to begin, by noun
 */
export async function settleMoved(
  client: pg.Client,
  moved: { id: string; madeAt: string },
  workflows: readonly Intent[],
): Promise<Record<string, number>> {
  await beginGeneration(client, { ...moved, id: moveOf(moved.id) });
  await client.query(
    `update backups set state = 'failed', ended_at = clock_timestamp(), reason = 'the fleet was moved' where state = 'running'`,
  );
  await client.query(
    `update restore_drills set state = 'failed', ended_at = clock_timestamp(), reason = 'the fleet was moved' where state = 'running'`,
  );
  const db = databaseOver(client);
  const before = await intentCount(client);
  const byRows = await beginAnew(db, { all: true });
  const fromRows = await intentCount(client);
  for (const workflow of workflows) await insertIntent(db, workflow);
  return { ...byRows, waiting: before, others: (await intentCount(client)) - fromRows };
}

async function intentCount(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ count: number }>('select count(*)::int as count from intents');
  return rows[0]!.count;
}
