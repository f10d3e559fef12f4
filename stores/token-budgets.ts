import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { type BudgetScope, budgetOf, type TokenBudgets, type TokenSpend } from '../domain/token-budgets.ts';
import type { Database, Executor } from './database.ts';
import { newId } from './ids.ts';
import { openNotice } from './notices.ts';

interface Spent {
  ownerId: string;
  scope: BudgetScope;
  subject: string;
  day: string;
  tokens: number;
  budget: number;
}

class SpentBudget extends Error {
  readonly spent: Spent;

  constructor(spent: Spent) {
    super(`the tokens of ${spent.scope} ${spent.subject} are spent`);
    this.spent = spent;
  }
}

export function createTokenBudgetStore(db: Database, budgets: () => TokenBudgets) {
  return {
    /**
     * Reserves what a step may take. It may begin while less than the budget is reserved and spent, so calls at once overshoot by no more
     * than the last of them has reserved. A step that was counted before is not counted again.
     * @throws TOKENS_SPENT where a budget is spent; a person is told once a day
     */
    async reserve({ key, agentId, askedBy, most }: TokenSpend): Promise<void> {
      try {
        await db.transaction().execute(async (tx) => {
          const { rows } = await sql<{
            ownerId: string;
            archetype: string | null;
            service: string | null;
            day: string;
            isNew: boolean;
          }>`
            insert into token_spends (key, owner_id, agent_id, archetype, service, day, reserved)
            select ${key}, coalesce(a.owner_id, t.owner_id), a.id, a.archetype, coalesce(t.service_id, t.name),
              (now() at time zone 'UTC')::date, ${most}
            from (select ${agentId ?? null}::text as agent_id, ${askedBy ?? null}::text as token_id) asked
            left join agents a on a.id = asked.agent_id left join tokens t on t.id = asked.token_id
            where a.id is not null or (asked.agent_id is null and t.id is not null)
            on conflict (key) do update set attempts = token_spends.attempts + 1 where token_spends.tokens is null
            returning owner_id, archetype, service, day::text as day, xmax = 0 as is_new`.execute(tx);
          const [row] = rows;
          if (row?.isNew)
            for (const of of scopesOf({ ...row, agentId: agentId ?? null })) await count(tx, row, of, most);
        });
      } catch (err) {
        if (!(err instanceof SpentBudget)) throw err;
        await tellSpent(db, err.spent);
        const { scope, subject, tokens, budget } = err.spent;
        const detail = `${tokens} of ${budget} tokens of ${scope} ${subject} are spent or reserved today (UTC)`;
        throw new DomainError('TOKENS_SPENT', detail, { cause: err });
      }

      /** In the order of the scopes, so that no two wait for each other. */
      async function count(
        tx: Executor,
        { ownerId, day }: { ownerId: string; day: string },
        { scope, subject }: { scope: BudgetScope; subject: string },
        add: number,
      ): Promise<void> {
        const budget = budgetOf(budgets(), scope, subject);
        const { rows } = await sql<{ before: number }>`
          insert into token_days (owner_id, day, scope, subject, tokens)
          values (${ownerId}, ${day}::date, ${scope}, ${subject}, ${add})
          on conflict (owner_id, day, scope, subject) do update set tokens = token_days.tokens + excluded.tokens
          returning tokens - ${add} as before`.execute(tx);
        const tokens = Number(rows[0]!.before);
        if (budget !== null && tokens >= budget)
          throw new SpentBudget({ ownerId, scope, subject, day, tokens, budget });
      }
    },

    /** The step is done: what it took stands in place of what was reserved. The first word counts. */
    settle: (key: string, tokens: number) => close(key, tokens),

    /**
     * The step was not done: nothing of it counts, and it may be begun again. An attempt that learns late that another has taken its
     * place gives back nothing; so one whose attempts died without a word counts with what it had reserved until the day is over.
     * @param taken what counts of a step that never comes again
     */
    async release(key: string, taken?: number): Promise<void> {
      const { rows } = await sql`update token_spends set attempts = attempts - 1
        where key = ${key} and tokens is null and attempts > 1 returning key`.execute(db);
      if (rows.length === 0) await close(key, taken ?? null);
    },
  };

  async function close(key: string, tokens: number | null): Promise<void> {
    await db.transaction().execute(async (tx) => {
      const found =
        tokens === null
          ? sql`delete from token_spends where key = ${key} and tokens is null`
          : sql`update token_spends set tokens = ${tokens} where key = ${key} and tokens is null`;
      const { rows } = await sql<{
        ownerId: string;
        agentId: string | null;
        archetype: string | null;
        service: string | null;
        day: string;
        reserved: number;
      }>`${found} returning owner_id, agent_id, archetype, service, day::text as day, reserved`.execute(tx);
      const [row] = rows;
      if (!row) return;
      for (const { scope, subject } of scopesOf(row)) {
        await sql`
          update token_days set tokens = tokens + ${(tokens ?? 0) - row.reserved}
          where owner_id = ${row.ownerId} and day = ${row.day}::date and scope = ${scope} and subject = ${subject}`.execute(
          tx,
        );
      }
    });
  }
}
export type TokenBudgetStore = ReturnType<typeof createTokenBudgetStore>;

function scopesOf(of: {
  agentId: string | null;
  archetype: string | null;
  service: string | null;
}): Array<{ scope: BudgetScope; subject: string }> {
  return [
    ...(of.agentId === null ? [] : [{ scope: 'agent' as const, subject: of.agentId }]),
    ...(of.archetype === null ? [] : [{ scope: 'archetype' as const, subject: of.archetype }]),
    ...(of.service === null ? [] : [{ scope: 'service' as const, subject: of.service }]),
  ];
}

async function tellSpent(db: Executor, { ownerId, scope, subject, day, budget }: Spent): Promise<void> {
  const key = `tokens_spent:${scope}:${subject}:${day}`;
  // Told once a day, also where a person has settled it meanwhile.
  const told = await db.selectFrom('notices').select('id').where('key', '=', key).executeTakeFirst();
  if (told) return;
  await openNotice(db, {
    id: newId('notice'),
    ownerId,
    kind: 'tokens_spent',
    key,
    subject,
    title: `The tokens of ${scope} ${subject} are spent for ${day}`,
    detail: `Its budget is ${budget} a day. What asks for more ends with TOKENS_SPENT until midnight UTC.`,
    action: 'raise it under budgets in fleet.yaml, then soulfra apply, or wait',
  });
}

export interface TokenDay {
  scope: BudgetScope;
  subject: string;
  tokens: number;
}

/** Reserved and spent today (UTC), by scope and subject; `after` is `scope/subject`. */
export async function listTokenDay(
  db: Executor,
  page: { ownerId: string; limit: number; after?: string | undefined },
): Promise<TokenDay[]> {
  const { rows } = await sql<TokenDay>`
    select scope, subject, tokens from token_days
    where owner_id = ${page.ownerId} and day = (now() at time zone 'UTC')::date
      and (${page.after ?? null}::text is null or scope || '/' || subject > ${page.after ?? null} collate "C")
    order by (scope || '/' || subject) collate "C" limit ${page.limit}`.execute(db);
  return rows;
}
