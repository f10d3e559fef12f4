import { sql } from 'kysely';
import type { ChatAnswer } from '../domain/chat-pieces.ts';
import { DomainError, type ErrorCode } from '../domain/errors.ts';
import type { ChatAsked } from '../domain/openai-requests.ts';
import type { GatewayRequestState } from '../domain/states.ts';
import type { Database } from './database.ts';
import { lockNumbers } from './locks.ts';

export interface NewGatewayRequest {
  id: string;
  ownerId: string;
  tokenId: string;
  modelId: string;
  asked: ChatAsked;
  /** The process of the API that waits; absent: none that could be looked for. */
  caller?: number;
}

/** What an attempt is to answer, or that nobody waits for it any more. */
export type BegunRequest =
  | { kind: 'open'; asked: ChatAsked; tokenId: string; ownerId: string }
  | { kind: 'shown' }
  | { kind: 'answered'; tokens: number }
  | { kind: 'gone' };

export interface EndedRequest {
  id: string;
  state: GatewayRequestState;
  machineId: string | null;
  answer: ChatAnswer | null;
  errorCode: string | null;
  errorMessage: string | null;
}

/** Whoever waits reads an answer within a second or so. */
const unreadMinutes = 10;

/** A machine as an attempt holds it. */
interface Held {
  machineId: string;
  epoch: number;
}

export function createGatewayRequestStore(db: Database) {
  return {
    async open({ asked, ...request }: NewGatewayRequest): Promise<void> {
      await db
        .insertInto('gatewayRequests')
        .values({ ...request, asked: JSON.stringify(asked) })
        .execute();
    },

    /** An attempt begins: earlier ones may show nothing any more. */
    async begin(id: string, attempt: number, machineId: string): Promise<BegunRequest> {
      const row = await db
        .updateTable('gatewayRequests')
        .set({ attempt: sql<number>`greatest(attempt, ${attempt})`, machineId })
        .where('id', '=', id)
        .returning(['state', 'asked', 'tokenId', 'ownerId', 'answer', 'shownAttempt'])
        .executeTakeFirst();
      if (!row || row.state === 'failed') return { kind: 'gone' };
      if (row.state === 'answered')
        return { kind: 'answered', tokens: (row.answer as unknown as ChatAnswer).usage.completion_tokens };
      if (row.shownAttempt !== null) return { kind: 'shown' };
      return { kind: 'open', asked: row.asked as unknown as ChatAsked, tokenId: row.tokenId, ownerId: row.ownerId };
    },

    /**
     * An attempt is about to show the reader its first words. Only the newest attempt may, on a machine that holds its lease, and
     * no other after it.
     * @throws FENCED where it may not
     */
    async show(id: string, attempt: number, { machineId, epoch }: Held): Promise<void> {
      const { numAffectedRows } = await sql`
        with held as (select id from machines where id = ${machineId} and epoch = ${epoch} for share)
        update gateway_requests g set shown_attempt = ${attempt} from held
        where g.id = ${id} and g.state = 'open' and g.attempt = ${attempt}
          and (g.shown_attempt is null or g.shown_attempt = ${attempt})`.execute(db);
      if (numAffectedRows !== 1n)
        throw new DomainError('FENCED', `attempt ${attempt} at ${id} on ${machineId} was taken over by a later one`);
    },

    /** The whole answer, from a machine that holds its lease still; the first one stands. @throws FENCED */
    async answer(id: string, attempt: number, { machineId, epoch }: Held, answer: ChatAnswer): Promise<void> {
      const { numAffectedRows } = await sql`
        with held as (select id from machines where id = ${machineId} and epoch = ${epoch} for share)
        update gateway_requests g set state = 'answered', ended_at = now(), answer = ${JSON.stringify(answer)}::json, machine_id = held.id from held
        where g.id = ${id} and g.state = 'open' and (g.shown_attempt is null or g.shown_attempt = ${attempt})`.execute(
        db,
      );
      if (numAffectedRows === 1n) return;
      const row = await db.selectFrom('gatewayRequests').select('state').where('id', '=', id).executeTakeFirst();
      if (row?.state === 'open')
        throw new DomainError('FENCED', `${machineId} worked under epoch ${epoch}; its answer to ${id} was not stored`);
    },

    /** An attempt has come to nothing. Ends a request whose reader has been shown some of its text. @returns whether it had */
    async cutIfShown(id: string, reason: string): Promise<boolean> {
      const { numAffectedRows } = await sql`
        update gateway_requests set state = 'failed', ended_at = now(), error_code = 'ANSWER_CUT', error_message = ${reason}
        where id = ${id} and state = 'open' and shown_attempt is not null`.execute(db);
      return numAffectedRows === 1n;
    },

    /** The first end stands. */
    async fail(id: string, code: ErrorCode, message: string): Promise<void> {
      await db
        .updateTable('gatewayRequests')
        .set({ state: 'failed', errorCode: code, errorMessage: message, endedAt: sql<Date>`now()` })
        .where('id', '=', id)
        .where('state', '=', 'open')
        .execute();
    },

    /** Of these the ones that have ended, or were opened and are gone. */
    async ended(asked: ReadonlyArray<{ id: string; opened: boolean }>): Promise<EndedRequest[]> {
      const rows = (await db
        .selectFrom('gatewayRequests')
        .select(['id', 'state', 'machineId', 'answer', 'errorCode', 'errorMessage'])
        .where(
          'id',
          'in',
          asked.map(({ id }) => id),
        )
        .execute()) as unknown as EndedRequest[];
      const there = new Set(rows.map(({ id }) => id));
      const gone = asked.filter(({ id, opened }) => opened && !there.has(id)).map(({ id }) => goneRequest(id));
      return [...rows.filter(({ state }) => state !== 'open'), ...gone];
    },

    /** Whether it is there and has not ended. */
    async isOpen(id: string): Promise<boolean> {
      const row = await db.selectFrom('gatewayRequests').select('state').where('id', '=', id).executeTakeFirst();
      return row?.state === 'open';
    },

    /** Processes of the API that live: each holds a lock by its number for as long as it is connected. */
    async livingCallers(): Promise<Set<number>> {
      const { rows } = await sql<{ caller: string }>`
        select objid::text as caller from pg_locks
        where locktype = 'advisory' and granted and classid = ${lockNumbers.gatewayCaller}::oid and objsubid = 2
          and database = (select oid from pg_database where datname = current_database())`.execute(db);
      return new Set(rows.map(({ caller }) => Number(caller)));
    },

    /** Requests that have not ended, and who waits for each; not those of a version before. */
    async awaited(): Promise<Array<{ id: string; caller: number }>> {
      return (await db
        .selectFrom('gatewayRequests')
        .select(['id', 'caller'])
        .where('state', '=', 'open')
        .where('caller', 'is not', null)
        .execute()) as Array<{ id: string; caller: number }>;
    },

    /** Of those that ended while whoever waited was dead already: nobody else deletes them. @returns how many */
    async forgetEnded(): Promise<number> {
      const { numAffectedRows } = await sql`
        delete from gateway_requests where id in (
          select id from gateway_requests where ended_at < now() - make_interval(mins => ${unreadMinutes}) limit 5000)`.execute(
        db,
      );
      return Number(numAffectedRows ?? 0n);
    },

    /** Nobody waits for it any more. */
    async forget(id: string): Promise<void> {
      await db.deleteFrom('gatewayRequests').where('id', '=', id).execute();
    },
  };
}
/** Deleted while somebody waited for it, as retention does with what is old. */
function goneRequest(id: string): EndedRequest {
  const errorMessage = 'the request was deleted before it was answered';
  return { id, state: 'failed', machineId: null, answer: null, errorCode: 'UNAVAILABLE', errorMessage };
}
export type GatewayRequestStore = ReturnType<typeof createGatewayRequestStore>;
