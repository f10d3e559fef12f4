import { sql } from 'kysely';
import {
  type ComposedDrop,
  compositionLimits,
  type CompositionState,
  compositionStep,
} from '../domain/compositions.ts';
import { channelKindNames, channelKindRow } from '../domain/channel-kinds.ts';
import { afterQuiet } from '../domain/drop-times.ts';
import { DomainError } from '../domain/errors.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { cappedReason, dropsOfDay, quietHoursOf } from './drop-schedules.ts';
import { addDrop, scheduleDrop } from './drops.ts';
import { newId } from './ids.ts';
import { type PublicReflection, publicReflections } from './public-reflections.ts';

/** A composition that is under way, with all that a machine needs for it. */
export interface OpenComposition {
  id: string;
  agent: { id: string; name: string; persona: string; traits: string[]; modelId: string };
  reflections: Array<{ id: string; by: string; at: string; text: string }>;
}

export type CompositionTurn =
  | { kind: 'open'; composition: OpenComposition }
  | { kind: 'ended'; state: CompositionState };

/** Where the brief text stands in place of the long one. */
const briefKinds = channelKindNames.filter((kind) => channelKindRow(kind).brief === true);
/** Drops of a schedule that what it said before is looked for in. */
const remembered = 50;

export function createCompositionStore(db: Database) {
  /** @returns undefined where it has ended or is gone */
  async function underWay(id: string): Promise<OpenComposition | undefined> {
    const row = await db
      .selectFrom('compositions')
      .innerJoin('agents', 'agents.id', 'compositions.agentId')
      .select([
        'compositions.reflections',
        'agents.id',
        'agents.name',
        'agents.persona',
        'agents.traits',
        'agents.modelId',
      ])
      .where('compositions.id', '=', id)
      .where('compositions.state', '=', 'composing')
      .executeTakeFirst();
    if (row === undefined) return undefined;
    const { reflections: ids, ...agent } = row;
    const { rows } = await sql<{ id: string; by: string; at: Date; text: string }>`
      select r.id, a.name as by, r.created_at as at, r.text from unnest(${ids}::text[]) with ordinality as chosen (id, place)
      join reflections r on r.id = chosen.id and r.forgotten_at is null join agents a on a.id = r.agent_id
      order by chosen.place`.execute(db);
    return { id, agent, reflections: rows.map((reflection) => ({ ...reflection, at: reflection.at.toISOString() })) };
  }

  return {
    underWay,

    /** Who speaks and of what, chosen once. @param publicSources sources whose words may go out */
    async begin(id: string, publicSources: readonly string[]): Promise<CompositionTurn> {
      const ended = await db.transaction().execute(async (tx): Promise<CompositionState | undefined> => {
        const row = await lockComposition(tx, id);
        if (row === undefined) return 'failed';
        if (row.state !== 'composing') return row.state;
        if (row.agentId !== null) return undefined;
        const found = await mayBeSaid(tx, row, publicSources);
        const [newest] = found;
        if (newest === undefined) {
          await end(tx, row, 'empty', 'no new reflection that may go out: talk, and what rests on it, stays inside');
          return 'empty';
        }
        await tx
          .updateTable('compositions')
          .set({ agentId: newest.agentId, reflections: found.map((reflection) => reflection.id) })
          .where('id', '=', id)
          .execute();
        return undefined;
      });
      if (ended !== undefined) return { kind: 'ended', state: ended };
      const composition = await underWay(id);
      return composition === undefined ? { kind: 'ended', state: 'failed' } : { kind: 'open', composition };
    },

    /** Makes the drop of what a machine brought, and sends it on its way: to a person first where a channel asks. */
    async complete(id: string, { degraded }: { degraded: boolean }): Promise<CompositionState> {
      return db.transaction().execute(async (tx) => {
        const row = await lockComposition(tx, id);
        if (row === undefined) return 'failed';
        if (row.state !== 'composing') return row.state;
        const step = await tx
          .selectFrom('stepResults')
          .select('result')
          .where('workId', '=', id)
          .where('step', '=', compositionStep)
          .executeTakeFirst();
        if (step === undefined) throw new DomainError('INTERNAL', `nothing was composed for ${id}`);
        const { title, body, short, narration, evidence, source } = step.result as unknown as ComposedDrop;
        const channels = await tx
          .selectFrom('dropScheduleChannels')
          .innerJoin('channels', 'channels.id', 'dropScheduleChannels.channelId')
          .select('channelId')
          .where('scheduleId', '=', row.scheduleId)
          .where('channels.removedAt', 'is', null)
          .execute();
        if (channels.length === 0) return end(tx, row, 'failed', 'none of its channels is there any more');
        const now = await tx.selectNoFrom(sql<Date>`now()`.as('at')).executeTakeFirstOrThrow();
        const quiet = await quietHoursOf(tx, { scheduleId: row.scheduleId });
        // It may have taken until the night, or until a day that has its drops.
        const ready = new Date(Math.max(row.publishAt.getTime(), now.at.getTime()));
        const publishAt = quiet === undefined ? ready : afterQuiet(quiet, ready);
        if (quiet !== undefined) {
          const day = { scheduleId: row.scheduleId, timeZone: quiet.timeZone, at: publishAt };
          const made = await dropsOfDay(tx, { ...day, but: id });
          if (made >= quiet.perDay) return end(tx, row, 'capped', cappedReason(made));
        }
        const ref = { ownerId: row.ownerId, id: newId('drop') };
        await addDrop(tx, {
          ...ref,
          agentId: row.agentId,
          channels: channels.map(({ channelId }) => channelId),
          evidence,
          title,
          body,
          bodies: short === '' ? {} : Object.fromEntries(briefKinds.map((kind) => [kind, short])),
          narration,
          source,
          degraded,
          contentHash: id,
        });
        await scheduleDrop(tx, ref, { publishAt: publishAt.toISOString() });
        await tx.updateTable('compositions').set({ dropId: ref.id, publishAt }).where('id', '=', id).execute();
        return end(tx, row, 'composed', '');
      });
    },

    async fail(id: string, reason: string): Promise<CompositionState> {
      return db.transaction().execute(async (tx) => {
        const row = await lockComposition(tx, id);
        if (row === undefined) return 'failed';
        return row.state === 'composing' ? end(tx, row, 'failed', reason) : row.state;
      });
    },
  };
}
export type CompositionStore = ReturnType<typeof createCompositionStore>;

interface CompositionRow {
  id: string;
  ownerId: string;
  scheduleId: string;
  state: CompositionState;
  agentId: string | null;
  publishAt: Date;
}

async function lockComposition(tx: DatabaseTransaction, id: string): Promise<CompositionRow | undefined> {
  const row = await tx
    .selectFrom('compositions')
    .select(['id', 'ownerId', 'scheduleId', 'state', 'agentId', 'publishAt'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  return row && { ...row, state: row.state as CompositionState };
}

/** The schedule says why nothing came of its last time: an agent that has fallen silent is seen. */
async function end(
  tx: DatabaseTransaction,
  { id, scheduleId }: CompositionRow,
  state: CompositionState,
  reason: string,
): Promise<CompositionState> {
  await tx
    .updateTable('compositions')
    .set({ state, reason: reason.slice(0, 500), endedAt: sql<Date>`now()` })
    .where('id', '=', id)
    .execute();
  await tx
    .updateTable('dropSchedules')
    .set({ note: state === 'composed' ? '' : `${state}: ${reason}`.slice(0, 500) })
    .where('id', '=', scheduleId)
    .execute();
  return state;
}

/** What of the agents it speaks for may go out, and was not said by it before. */
async function mayBeSaid(
  tx: DatabaseTransaction,
  { ownerId, scheduleId }: CompositionRow,
  publicSources: readonly string[],
): Promise<PublicReflection[]> {
  const { rows: agents } = await sql<{ id: string }>`
    select a.id from drop_schedules s join agents a on a.owner_id = s.owner_id and a.state <> 'retired' and (
      a.id = s.agent_id
      or exists (select from guild_members g join guilds o on o.id = g.guild_id and o.state = 'open'
        where g.guild_id = s.guild_id and g.agent_id = a.id and g.ended_at is null)
      or exists (select from cluster_members c join clusters k on k.id = c.cluster_id and k.state = 'living' where c.cluster_id = s.cluster_id and c.agent_id = a.id
        and c.run_id = (select max(l.run_id) from cluster_members l where l.cluster_id = s.cluster_id)))
    where s.id = ${scheduleId} order by a.id`.execute(tx);
  if (agents.length === 0) return [];
  const { rows: said } = await sql<{ id: string }>`
    select distinct e.id from (select d.evidence from compositions c join drops d on d.id = c.drop_id
      where c.schedule_id = ${scheduleId} order by c.period desc limit ${remembered}) d, unnest(d.evidence) as e(id)`.execute(
    tx,
  );
  return publicReflections(tx, {
    ownerId,
    agentIds: agents.map(({ id }) => id),
    publicSources,
    days: compositionLimits.days,
    limit: compositionLimits.reflections,
    unless: said.map(({ id }) => id),
  });
}
