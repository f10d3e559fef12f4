import { createHash } from 'node:crypto';
import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { isObject, type PersonaFile, type PersonaFormat } from '../domain/persona-files.ts';
import { type PlacementAgent, placementAgent } from '../domain/placement-input.ts';
import type { MeasuredRate } from '../domain/rates.ts';
import type { GpuClass } from '../domain/task-queues.ts';
import { birth, type NewAgent, refuseTaken } from './agents.ts';
import type { PlaceableService } from '../domain/service-placement.ts';
import { placeableServices } from './services.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { lockFleet } from './fleets.ts';
import { createMemoryStore, type NewMemory } from './memories.ts';
import { measuredRates } from './placement.ts';
import { requestReplan } from './plans.ts';
import { demandOf } from './room.ts';

export interface PersonaArrival {
  ownerId: string;
  /** The applied version of fleet.yaml whose archetype it works like. */
  fleetVersion: number;
  agent: NewAgent;
  file: PersonaFile;
  /** A PNG without its texts. */
  picture?: Buffer | undefined;
  /** What it remembers from the first. */
  seeds: readonly NewMemory[];
  admission: Admission;
}

/** How an agent may come: into the fleet where the cards can keep up with it, or dormant as one of so many of its owner's. */
export type Admission = { refuseOverload: RefuseOverload } | { mostDormant: number };

/** @throws CADENCE_TOO_FAST where the cards could not keep up with all of these, the one that arrives among them */
export type RefuseOverload = (
  agents: readonly PlacementAgent[],
  rates: readonly MeasuredRate[],
  services: readonly PlaceableService[],
) => void;

export interface StoredPersonaFile extends PersonaFile {
  picture: Buffer | undefined;
}

export function createPersonaStore(db: Database) {
  const memories = createMemoryStore(db);
  return {
    /**
     * The birth of an imported persona in one transaction: agent, file, first memories, and the plan that makes room for it.
     * The same file under the same id is the same agent; what it is asked to remember is added where it does not yet.
     * @throws CONFLICT where the id or the name is another's, or fleet.yaml was applied meanwhile; AGENT_RETIRED;
     * CADENCE_TOO_FAST
     */
    async arrive({
      ownerId,
      fleetVersion,
      agent,
      file,
      picture,
      seeds,
      admission,
    }: PersonaArrival): Promise<{ born: boolean; memories: number }> {
      return db.transaction().execute(async (tx) => {
        await lockFleet(tx, fleetVersion);
        const known = await knownAs(tx, ownerId, agent.id);
        if (known) {
          refuseUnlike(known, agent, file);
        } else {
          await admitArrival(tx, { ownerId, fleetVersion, agent, admission });
          await sql`insert into persona_files (agent_id, owner_id, format, document, content_hash, picture)
            values (${agent.id}, ${ownerId}, ${file.format}, ${JSON.stringify(file.document)}::json, ${hashOf(file)}, ${picture ?? null})`.execute(
            tx,
          );
          await appendEvents(tx, [
            {
              ownerId,
              type: 'agent.imported',
              subject: agent.id,
              data: { format: file.format, archetype: agent.archetype },
            },
          ]);
        }
        const { added } = await memories.add(ownerId, seeds, tx);
        return { born: known === undefined, memories: added };
      });
    },

    /** What a persona came in as; undefined where it did not. */
    async file(ownerId: string, agentId: string): Promise<StoredPersonaFile | undefined> {
      const row = await db
        .selectFrom('personaFiles')
        .select(['format', 'document', 'picture'])
        .where('agentId', '=', agentId)
        .where('ownerId', '=', ownerId)
        .executeTakeFirst();
      if (!row) return undefined;
      const document: unknown = row.document;
      if (!isObject(document)) throw new DomainError('INTERNAL', `the file of ${agentId} is no block of keys`);
      return { format: row.format as PersonaFormat, document, picture: row.picture ?? undefined };
    },

    /**
     * What `arrive` would do, as things stand.
     * @returns whether the agent would be born; else it is there already
     */
    async wouldBeBorn({
      ownerId,
      agent,
      file,
      admission,
    }: Pick<PersonaArrival, 'ownerId' | 'agent' | 'file' | 'admission'>): Promise<boolean> {
      // One look at all of it: the same file that comes in meanwhile must not be taken for another's.
      return db
        .transaction()
        .setIsolationLevel('repeatable read')
        .execute(async (tx) => {
          const known = await knownAs(tx, ownerId, agent.id);
          if (known) {
            refuseUnlike(known, agent, file);
            return false;
          }
          await refuseTaken(tx, [agent]);
          await mayArrive(tx, { ownerId, agent, admission });
          return true;
        });
    },
  };
}

function hashOf({ format, document }: PersonaFile): Buffer {
  return createHash('sha256')
    .update(`${format}\0${JSON.stringify(document)}`)
    .digest();
}

async function knownAs(db: Executor, ownerId: string, agentId: string) {
  return db
    .selectFrom('personaFiles')
    .innerJoin('agents', 'agents.id', 'personaFiles.agentId')
    .select(['contentHash', 'agents.name', 'agents.state'])
    .where('agentId', '=', agentId)
    .where('personaFiles.ownerId', '=', ownerId)
    .executeTakeFirst();
}

function refuseUnlike(
  known: NonNullable<Awaited<ReturnType<typeof knownAs>>>,
  { id, name }: NewAgent,
  file: PersonaFile,
): void {
  if (!known.contentHash.equals(hashOf(file)) || known.name !== name) {
    throw new DomainError('CONFLICT', `${id} came in from another file; import this one under another id`);
  }
  if (known.state === 'retired') throw new DomainError('AGENT_RETIRED', `${id} is retired`);
}

/** The birth of an agent that comes from elsewhere, and the plan that makes room for it, under the fleet's lock. */
export async function admitArrival(
  tx: Executor,
  { ownerId, fleetVersion, agent, admission }: Pick<PersonaArrival, 'ownerId' | 'fleetVersion' | 'agent' | 'admission'>,
): Promise<void> {
  await mayArrive(tx, { ownerId, agent, admission });
  if ('mostDormant' in admission) {
    await birth(tx, { ownerId, origin: 'import', state: 'dormant', fleetVersion, agents: [agent] });
    return;
  }
  // The plan's row before any agent's, as whoever computes one does.
  await requestReplan(tx, { ownerId, reason: `${agent.id} was imported` });
  await birth(tx, { ownerId, origin: 'import', fleetVersion, agents: [agent] });
}

/** @throws CADENCE_TOO_FAST · CONFLICT where its owner has brought as many as they may */
export async function mayArrive(
  tx: Executor,
  { ownerId, agent, admission }: Pick<PersonaArrival, 'ownerId' | 'agent' | 'admission'>,
): Promise<void> {
  if ('mostDormant' in admission) return refuseMore(tx, ownerId, admission.mostDormant);
  const own = placementAgent({ ...agent, model: agent.modelId, leastClass: agent.leastClass as GpuClass });
  admission.refuseOverload([...(await demandOf(tx)), own], await measuredRates(tx), await placeableServices(tx));
}

/** Retired ones count: what they remember is kept. Under the fleet's lock, so that none comes in between. */
async function refuseMore(tx: Executor, ownerId: string, most: number): Promise<void> {
  const { count } = await tx
    .selectFrom('agents')
    .select((eb) => eb.fn.countAll<number>().as('count'))
    .where('ownerId', '=', ownerId)
    .where('origin', '=', 'import')
    .executeTakeFirstOrThrow();
  if (count < most) return;
  throw new DomainError('CONFLICT', `you have brought ${count} agents; people.agentsPerCreator permits ${most}`);
}
