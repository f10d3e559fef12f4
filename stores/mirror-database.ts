import { createHash } from 'node:crypto';
import pg from 'pg';
import { canonicalJson } from '../domain/canonical-json.ts';
import { DomainError } from '../domain/errors.ts';
import type { PublicDoc, PublicKind } from '../domain/public-mirror.ts';

const hashOf = (text: string) => createHash('sha256').update(text).digest('hex');
/** Rows of one statement. */
const batch = 500;

/**
 * Another Postgres that holds what is public, in its schema `soulfra_public`. All of it changes in one transaction: whoever reads
 * there sees what was, or what is.
 * @throws UNAVAILABLE where it does not answer
 */
export async function openMirrorDatabase(url: string, run: string) {
  const client = new pg.Client({
    connectionString: url,
    application_name: 'soulfra mirror',
    connectionTimeoutMillis: 10_000,
  });
  // The next query brings the error to who asks.
  client.on('error', () => undefined);
  try {
    await client.connect();
  } catch (err) {
    // Its address has a password, and stays out of the message.
    throw new DomainError(
      'UNAVAILABLE',
      `the database of SOULFRA_MIRROR_URL does not answer: ${(err as Error).message}`,
      { cause: err },
    );
  }
  try {
    await client.query('begin');
    // One writer at a time; a killed one's goes with its session.
    await client.query(`select pg_advisory_xact_lock(hashtext('soulfra public mirror'))`);
    await client.query('create schema if not exists soulfra_public');
    await client.query(`create table if not exists soulfra_public.entries (kind text not null, id text not null, doc jsonb not null,
      sha256 text not null, run text not null, primary key (kind, id))`);
    await client.query(`create table if not exists soulfra_public.manifest (one boolean primary key default true check (one), run text not null,
      made_at timestamptz not null, entries integer not null, sha256 text not null)`);
  } catch (err) {
    // Such as a role that may make no schema: nobody else would end this connection.
    await client.end().catch(() => undefined);
    throw err;
  }
  let waiting: Array<{ kind: PublicKind; doc: PublicDoc }> = [];
  let entries = 0;
  let bytes = 0;
  let written = 0;

  async function flush(): Promise<void> {
    const rows = waiting;
    waiting = [];
    if (rows.length === 0) return;
    const texts = rows.map(({ doc }) => canonicalJson(doc));
    const hashes = texts.map(hashOf);
    const { rows: told } = await client.query<{ written: string }>(
      `with given as (select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]) as g (kind, id, doc, sha256)),
         changed as (select count(*) as n from given g left join soulfra_public.entries e using (kind, id) where e.sha256 is distinct from g.sha256),
         put as (insert into soulfra_public.entries (kind, id, doc, sha256, run)
           select kind, id, doc::jsonb, sha256, $5 from given
           on conflict (kind, id) do update set doc = excluded.doc, sha256 = excluded.sha256, run = excluded.run)
       select n::text as written from changed`,
      [rows.map(({ kind }) => kind), rows.map(({ doc }) => doc.id), texts, hashes, run],
    );
    entries += rows.length;
    bytes += texts.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    written += Number(told[0]!.written);
  }

  return {
    async put(kind: PublicKind, doc: PublicDoc): Promise<void> {
      waiting.push({ kind, doc });
      if (waiting.length >= batch) await flush();
    },

    /** Deletes what is public no more, commits, and reads every row back. @throws INTERNAL where another one came back */
    async finish(madeAt: string) {
      await flush();
      const gone = await client.query('delete from soulfra_public.entries where run <> $1', [run]);
      const whole = createHash('sha256');
      for await (const { kind, id, sha256 } of rowsOf(client)) whole.update(`${kind} ${id} ${sha256}\n`);
      const sha256 = whole.digest('hex');
      await client.query(
        `insert into soulfra_public.manifest (run, made_at, entries, sha256) values ($1, $2, $3, $4)
         on conflict (one) do update set run = excluded.run, made_at = excluded.made_at, entries = excluded.entries, sha256 = excluded.sha256`,
        [run, madeAt, entries, sha256],
      );
      await client.query('commit');
      const read = createHash('sha256');
      let count = 0;
      for await (const { kind, id, doc } of rowsOf(client)) {
        read.update(`${kind} ${id} ${hashOf(canonicalJson(doc))}\n`);
        count += 1;
      }
      if (count !== entries || read.digest('hex') !== sha256)
        throw new DomainError('INTERNAL', `the mirror has ${count} rows in place of ${entries}, or other ones`);
      return { entries, bytes, written, removed: gone.rowCount ?? 0, sha256 };
    },

    /** What was not committed is as if it had never been. */
    end: () => client.end().catch(() => undefined),
  };
}

interface Kept {
  kind: string;
  id: string;
  sha256: string;
  doc: PublicDoc;
}

async function* rowsOf(client: pg.Client): AsyncGenerator<Kept> {
  let after: [string, string] = ['', ''];
  for (;;) {
    const { rows } = await client.query<Kept>(
      `select kind, id, sha256, doc from soulfra_public.entries where (kind collate "C", id collate "C") > ($1, $2)
       order by kind collate "C", id collate "C" limit ${batch}`,
      after,
    );
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined) return;
    after = [last.kind, last.id];
  }
}
