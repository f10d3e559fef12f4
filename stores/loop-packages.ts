import { DomainError } from '../domain/errors.ts';
import type { LoopManifest } from '../domain/loop-manifest.ts';
import { type NewAgent, refuseTaken } from './agents.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { lockFleet } from './fleets.ts';
import { takeLock } from './locks.ts';
import { createMemoryStore, type NewMemory } from './memories.ts';
import { type Admission, admitArrival, mayArrive } from './personas.ts';

export interface NewLoopPackage {
  /** By the caller's key where one came. */
  requestId: string;
  id: string;
  ownerId: string;
  agentId: string;
  /** Of what was asked for: another request under the same key is refused. */
  bodyHash: Buffer;
  manifest: LoopManifest;
  archive: Uint8Array;
  /** How many its owner may keep. @default as many as there are */
  most?: number | undefined;
}

export interface LoopArrival {
  ownerId: string;
  /** The applied version of fleet.yaml whose archetype it works like. */
  fleetVersion: number;
  agent: NewAgent;
  /** What of the agent's id and name was asked for; the rest is as the package says. */
  wished: { id?: string | undefined; name?: string | undefined };
  manifest: LoopManifest;
  trusted: boolean;
  /** In an order in which each comes after its evidence. */
  memories: readonly NewMemory[];
  admission: Admission;
}

/** Memories added in one statement. */
const batch = 1_000;

export function createLoopPackageStore(db: Database) {
  const memories = createMemoryStore(db);
  return {
    /**
     * What this request made before.
     * @throws CONFLICT where the same key came with another body
     */
    async madeBy(ownerId: string, requestId: string, bodyHash: Buffer): Promise<string | undefined> {
      return madeBy(db, ownerId, requestId, bodyHash);
    },

    /** The package that packing this content would find, signed by the owner's live key. */
    async byContent(ownerId: string, contentHash: string): Promise<string | undefined> {
      const row = await db
        .selectFrom('loopPackages')
        .innerJoin('signingKeys', 'signingKeys.id', 'loopPackages.keyId')
        .select('loopPackages.id')
        .where('loopPackages.ownerId', '=', ownerId)
        .where('contentHash', '=', Buffer.from(contentHash, 'hex'))
        .where('retiredAt', 'is', null)
        .executeTakeFirst();
      return row?.id;
    },

    /**
     * Keeps a package, once per content and key, and once per request.
     * @returns the package that is there, which may be one of an earlier request
     * @throws CONFLICT where the same key came with another body, or its owner keeps as many as they may
     */
    async keep(input: NewLoopPackage): Promise<{ id: string; made: boolean }> {
      const { requestId, id, ownerId, agentId, bodyHash, manifest, archive, most } = input;
      return db.transaction().execute(async (tx) => {
        await takeLock(tx, 'loopPackages', ownerId);
        const before = await madeBy(tx, ownerId, requestId, bodyHash);
        if (before !== undefined) return { id: before, made: false };
        const contentHash = Buffer.from(manifest.contentHash, 'hex');
        const made = await tx
          .insertInto('loopPackages')
          .values({
            id,
            ownerId,
            agentId,
            contentHash,
            agentHash: Buffer.from(manifest.agentHash, 'hex'),
            manifest: JSON.stringify(manifest),
            archive: Buffer.from(archive),
            bytes: archive.length,
            keyId: manifest.madeBy.keyId,
          })
          .onConflict((conflict) => conflict.columns(['ownerId', 'contentHash', 'keyId']).doNothing())
          .returning('id')
          .executeTakeFirst();
        if (made && most !== undefined) await refuseMore(tx, ownerId, most);
        const packageId =
          made?.id ??
          (
            await tx
              .selectFrom('loopPackages')
              .select('id')
              .where('ownerId', '=', ownerId)
              .where('contentHash', '=', contentHash)
              .where('keyId', '=', manifest.madeBy.keyId)
              .executeTakeFirstOrThrow()
          ).id;
        await tx.insertInto('loopPackageRequests').values({ id: requestId, ownerId, bodyHash, packageId }).execute();
        if (made) {
          const data = { agentId, contentHash: manifest.contentHash };
          await appendEvents(tx, [{ ownerId, type: 'loop.packed', subject: packageId, data }]);
        }
        return { id: packageId, made: made !== undefined };
      });
    },

    /**
     * The birth of the agent of a package, with all that it remembers, in one transaction. The same content is the same agent:
     * a second time nothing is added.
     * @throws CONFLICT where the id or the name is another's, the package lives here under another id, or fleet.yaml was
     * applied meanwhile; AGENT_RETIRED; CADENCE_TOO_FAST
     */
    async install(arrival: LoopArrival): Promise<{
      agentId: string;
      name: string;
      installed: boolean;
      memories: number;
      keyId: string;
      trusted: boolean;
    }> {
      const { ownerId, fleetVersion, agent, manifest, trusted } = arrival;
      const { keyId } = manifest.madeBy;
      return db.transaction().execute(async (tx) => {
        await lockFleet(tx, fleetVersion);
        const known = await installedAs(tx, arrival);
        if (known) {
          const { id: agentId, ...before } = known;
          return { agentId, ...before, installed: false, memories: 0 };
        }
        await namingWhatToChange(() => admitArrival(tx, arrival));
        await tx
          .insertInto('loopInstalls')
          .values({
            agentId: agent.id,
            ownerId,
            contentHash: Buffer.from(manifest.contentHash, 'hex'),
            manifest: JSON.stringify(manifest),
            keyId,
            trusted,
          })
          .execute();
        await appendEvents(tx, [
          {
            ownerId,
            type: 'agent.installed',
            subject: agent.id,
            data: { contentHash: manifest.contentHash, keyId, trusted },
          },
        ]);
        const added = await addAll(tx, ownerId, arrival.memories);
        return { agentId: agent.id, name: agent.name, installed: true, memories: added, keyId, trusted };
      });
    },

    /**
     * What `install` would do, as things stand.
     * @returns the agent that came with the package before
     */
    async wouldInstall(arrival: Omit<LoopArrival, 'fleetVersion' | 'memories'>): Promise<Installed | undefined> {
      // One look at all of it: the same package that comes in meanwhile must not be taken for another's name.
      return db
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute(async (tx) => {
          const known = await installedAs(tx, arrival);
          if (known) return known;
          await namingWhatToChange(() => refuseTaken(tx, [arrival.agent]));
          await mayArrive(tx, arrival);
          return undefined;
        });
    },
  };

  async function addAll(tx: DatabaseTransaction, ownerId: string, all: readonly NewMemory[]): Promise<number> {
    let added = 0;
    for (let from = 0; from < all.length; from += batch) {
      added += (await memories.add(ownerId, all.slice(from, from + batch), tx)).added;
    }
    // The reader has seen to keys and evidence: fewer would be half an agent.
    if (added !== all.length) throw new DomainError('INTERNAL', `${added} of ${all.length} memories went in`);
    return added;
  }
}

/** After the new one was added, under the owner's lock. */
async function refuseMore(tx: DatabaseTransaction, ownerId: string, most: number): Promise<void> {
  const { count } = await tx
    .selectFrom('loopPackages')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('ownerId', '=', ownerId)
    .executeTakeFirstOrThrow();
  if (count > most)
    throw new DomainError('CONFLICT', `you keep ${count - 1} packages; people.packagesPerCreator permits ${most}`);
}

async function madeBy(db: Executor, ownerId: string, requestId: string, bodyHash: Buffer): Promise<string | undefined> {
  const row = await db
    .selectFrom('loopPackageRequests')
    .select(['packageId', 'bodyHash'])
    .where('id', '=', requestId)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (row && !row.bodyHash.equals(bodyHash)) {
    throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
  }
  return row?.packageId;
}

/** An agent that came with a package: under whose key, and whether anybody had pinned it then. */
interface Installed {
  id: string;
  name: string;
  keyId: string;
  trusted: boolean;
}

async function installedAs(
  db: Executor,
  { ownerId, wished, manifest }: Pick<LoopArrival, 'ownerId' | 'wished' | 'manifest'>,
): Promise<Installed | undefined> {
  const row = await db
    .selectFrom('loopInstalls')
    .innerJoin('agents', 'agents.id', 'loopInstalls.agentId')
    .select(['agents.id', 'agents.name', 'agents.state', 'loopInstalls.keyId', 'loopInstalls.trusted'])
    .where('loopInstalls.ownerId', '=', ownerId)
    .where('contentHash', '=', Buffer.from(manifest.contentHash, 'hex'))
    .executeTakeFirst();
  if (!row) return undefined;
  const { id, name, state, keyId, trusted } = row;
  if ((wished.id ?? id) !== id || (wished.name ?? name) !== name) {
    throw new DomainError('CONFLICT', `this package lives here already, as ${id} (${name})`);
  }
  if (state === 'retired') throw new DomainError('AGENT_RETIRED', `${id} came with this package and is retired`);
  return { id, name, keyId, trusted };
}

/** A name that is taken can be told otherwise by who installs. */
async function namingWhatToChange(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (err) {
    if (!(err instanceof DomainError) || err.code !== 'CONFLICT') throw err;
    const mend = 'Give the agent an id and a name of its own: `--as ID --name NAME`.';
    throw new DomainError('CONFLICT', err.message, {
      fields: [{ path: 'query.as', rule: err.message, mend }],
      cause: err,
    });
  }
}
