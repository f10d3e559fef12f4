import { sql } from 'kysely';
import type { LoopManifest, LoopModel } from '../../domain/loop-manifest.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface LoopPackageView {
  id: string;
  agentId: string;
  name: string;
  contentHash: string;
  agentHash: string;
  keyId: string;
  memories: number;
  reflections: number;
  bytes: number;
  madeAt: string;
}

function packageQuery(db: Executor, ownerId: string) {
  return db
    .selectFrom('loopPackages')
    .select(['id', 'agentId', 'contentHash', 'agentHash', 'manifest', 'bytes', 'keyId', 'madeAt'])
    .where('ownerId', '=', ownerId);
}
type Row = Awaited<ReturnType<ReturnType<typeof packageQuery>['execute']>>[number];

function packageView(row: Row): LoopPackageView & { manifest: LoopManifest } {
  const { id, agentId, bytes, keyId } = row;
  // Written by us from a manifest that was judged.
  const manifest = row.manifest as unknown as LoopManifest;
  const { name, memories, reflections } = manifest;
  return {
    id,
    agentId,
    name,
    contentHash: row.contentHash.toString('hex'),
    agentHash: row.agentHash.toString('hex'),
    keyId,
    memories,
    reflections,
    bytes,
    madeAt: iso(row.madeAt),
    manifest,
  };
}

/** The last made first; `after` is an id. */
export async function listLoopPackages(
  db: Executor,
  page: PageRequest & { agentId?: string | undefined },
): Promise<LoopPackageView[]> {
  let query = packageQuery(db, page.ownerId);
  if (page.agentId !== undefined) query = query.where('agentId', '=', page.agentId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  const rows = await query.orderBy('id', 'desc').limit(page.limit).execute();
  return rows.map((row) => {
    const { manifest: _manifest, ...view } = packageView(row);
    return view;
  });
}

export async function findLoopPackage(
  db: Executor,
  ownerId: string,
  id: string,
): Promise<(LoopPackageView & { manifest: LoopManifest }) | undefined> {
  const row = await packageQuery(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && packageView(row);
}

/** The file itself. */
export async function loopArchive(db: Executor, ownerId: string, id: string): Promise<Buffer | undefined> {
  const row = await db
    .selectFrom('loopPackages')
    .select('archive')
    .where('ownerId', '=', ownerId)
    .where('id', '=', id)
    .executeTakeFirst();
  return row?.archive;
}

export interface LoopInstall {
  contentHash: string;
  keyId: string;
  trusted: boolean;
  installedAt: string;
  manifest: LoopManifest;
}

/** The package that an agent came with; undefined where it came with none. */
export async function installOf(db: Executor, ownerId: string, agentId: string): Promise<LoopInstall | undefined> {
  const row = await db
    .selectFrom('loopInstalls')
    .select(['contentHash', 'keyId', 'trusted', 'installedAt', 'manifest'])
    .where('ownerId', '=', ownerId)
    .where('agentId', '=', agentId)
    .executeTakeFirst();
  return (
    row && {
      ...row,
      contentHash: row.contentHash.toString('hex'),
      installedAt: iso(row.installedAt),
      // Written by us from a manifest that was judged.
      manifest: row.manifest as unknown as LoopManifest,
    }
  );
}

/** What the packages that an agent and its ancestors came with say of models; of one model what bars its use first. */
export async function originModels(
  db: Executor,
  { ownerId, agentId }: { ownerId: string; agentId: string },
): Promise<LoopModel[]> {
  const { rows } = await sql<{ models: LoopModel[] }>`
    with recursive line as (
      select id, parent_id from agents where id = ${agentId} and owner_id = ${ownerId}
      union select a.id, a.parent_id from line join agents a on a.id = line.parent_id and a.owner_id = ${ownerId}
    )
    select i.manifest -> 'models' as models from line join loop_installs i on i.agent_id = line.id
    where i.owner_id = ${ownerId}`.execute(db);
  const byId = new Map<string, LoopModel>();
  for (const model of rows.flatMap(({ models }) => models)) {
    if (byId.get(model.id)?.commercialUse !== 'barred') byId.set(model.id, model);
  }
  return [...byId.values()];
}

export async function packagesOf(
  db: Executor,
  { ownerId, agentId }: { ownerId: string; agentId: string },
): Promise<string[]> {
  const rows = await db
    .selectFrom('loopPackages')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('agentId', '=', agentId)
    .orderBy('id')
    .execute();
  return rows.map(({ id }) => id);
}

/** Which of these packages hold one of these texts whole: nothing in them is compressed, so it can be looked for. */
export async function packagesTelling(
  db: Executor,
  ids: readonly string[],
  texts: readonly string[],
): Promise<string[]> {
  const written = texts.filter((text) => text !== '').map((text) => Buffer.from(JSON.stringify(text)));
  if (written.length === 0) return [];
  const { rows } = await sql<{ id: string }>`
    select id from loop_packages p where id = any(${[...ids]})
      and exists (select from unnest(${written}::bytea[]) as told (text) where position(told.text in p.archive) > 0)
    order by id`.execute(db);
  return rows.map(({ id }) => id);
}

/** The file by what it is known by, of who made it: the one of the key that signs now where there is one, else the last made. */
export async function archiveByContent(
  db: Executor,
  ownerId: string,
  contentHash: string,
): Promise<{ isSignedNow: boolean; archive: Buffer } | undefined> {
  return db
    .selectFrom('loopPackages')
    .leftJoin('signingKeys', (join) =>
      join
        .onRef('signingKeys.id', '=', 'loopPackages.keyId')
        .on('signingKeys.retiredAt', 'is', null)
        .on('signingKeys.signsSince', 'is not', null),
    )
    .select(['archive', sql<boolean>`signing_keys.id is not null`.as('isSignedNow')])
    .where('loopPackages.ownerId', '=', ownerId)
    .where('contentHash', '=', Buffer.from(contentHash, 'hex'))
    .orderBy('isSignedNow', 'desc')
    .orderBy('loopPackages.madeAt', 'desc')
    .limit(1)
    .executeTakeFirst();
}

/** Whether an owner has the package: only then can it ever be downloaded. */
export async function hasPackage(db: Executor, ownerId: string, contentHash: string): Promise<boolean> {
  const row = await db
    .selectFrom('loopPackages')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('contentHash', '=', Buffer.from(contentHash, 'hex'))
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}
