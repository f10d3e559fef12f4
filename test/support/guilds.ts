import { NativeConnection } from '@temporalio/worker';
import { sql } from 'kysely';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { createInviteActivities } from '../../activities/invites.ts';
import type { Fleet } from '../../domain/fleet.ts';
import { inviteWorkflowId } from '../../domain/ids.ts';
import type { GuildRole } from '../../domain/states.ts';
import { createLogger } from '../../observability/logger.ts';
import type { Database } from '../../stores/database.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { joinGuild } from '../../stores/guild-members.ts';
import { livingMembers, lockActor, lockGuild } from '../../stores/guild-rows.ts';
import { createInviteStore } from '../../stores/invite-clock.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { createPlanStore } from '../../stores/plans.ts';
import { createRunStore } from '../../stores/runs.ts';
import { createStepResultStore } from '../../stores/step-results.ts';
import { createCoordinationWorker } from '../../workers/coordination.ts';
import { installRuntime } from '../../workers/runtime.ts';
import { type Answer, createApiFixture } from './api.ts';
import { testFleet } from './fleets.ts';
import { addPerson, type Person } from './market.ts';
import type { TestScope } from './isolation.ts';
import { until } from './lab.ts';
import { applyFleet, openOutbound } from './outbound.ts';

/** Seats somebody without an invitation. @returns the membership's id */
export function addMember(
  db: Database,
  guildId: string,
  { ownerId, agentId = null, role = 'member' }: { ownerId: string; agentId?: string | null; role?: GuildRole },
): Promise<string> {
  const who = { ownerId, agentId };
  return db.transaction().execute(async (tx) => {
    await lockActor(tx, who);
    return joinGuild(tx, await lockGuild(tx, guildId), { who, role, invite: null });
  });
}

/** Of a person, or of an agent by its id. */
export async function guildMemberId(db: Database, guildId: string, who: Person | string): Promise<string> {
  const found = (await livingMembers(db, guildId)).find(({ ownerId, agentId }) =>
    typeof who === 'string' ? agentId === who : agentId === null && ownerId === who.ownerId,
  );
  if (!found) throw new Error(`${guildId} has no such member`);
  return found.id;
}

export type GuildHall = Awaited<ReturnType<typeof openGuildHall>>;
type Activities = ReturnType<typeof createInviteActivities>;

/** The API and a worker with the shipped steps of invitations, on real servers; founders and guests as they are asked for. */
export async function openGuildHall({
  change = (shipped) => shipped,
  guilds = {},
  people = { signUp: 'closed' },
  smtpUrl,
}: {
  /** What the worker runs in place of the shipped steps. */
  change?: (shipped: Activities) => Activities;
  guilds?: Partial<Fleet['guilds']>;
  people?: Partial<Fleet['people']>;
  /** Where mails are sent, by the shipped relay and channel worker; without it they wait. */
  smtpUrl?: string;
} = {}) {
  const api = await createApiFixture();
  const { db, scope, deps } = api;
  const fleet = testFleet();
  // Crowds of one token are asked for here; agents are owned by who runs the installation.
  const limits = { ...fleet.limits, requestsPerMinute: 50_000 };
  await applyFleet(db, api.ownerId, { limits, people, guilds: { ...fleet.guilds, ...guilds } });
  const activities = createInviteActivities({
    invites: createInviteStore(db),
    steps: createStepResultStore(db),
    machines: createMachineStore(db),
    plans: createPlanStore(db),
    runs: createRunStore(db),
    fleet: createFleetReader(createFleetStore(db)),
  });
  const worked = change(activities);
  const workers =
    smtpUrl === undefined
      ? await openInviteWorker(scope, worked)
      : await openOutbound(api, { smtpUrl }, { activities: worked });
  const founder = await addPerson(db, 'founder');
  let keys = 0;

  const hall = {
    api,
    db,
    client: deps.temporal,
    founder,

    async found({ seats = 12, by = founder }: { seats?: number; by?: Person } = {}): Promise<string> {
      const body = { name: 'The Night Watch', seats };
      const made = await asked(() => api.call('POST', '/v1/guilds', { token: by.token, body }));
      if (made.status !== 201) throw new Error(made.text);
      return made.json['id'] as string;
    },

    invite(
      guildId: string,
      body: Record<string, unknown>,
      { by = founder, key = `invite-${(keys += 1)}` }: { by?: Person; key?: string } = {},
    ): Promise<Answer> {
      const headers = { 'idempotency-key': key };
      return asked(() => api.call('POST', `/v1/guilds/${guildId}/invites`, { token: by.token, body, headers }));
    },

    /** Sent, or the test ends. */
    async sent(
      guildId: string,
      body: Record<string, unknown>,
      { by = founder }: { by?: Person } = {},
    ): Promise<{ id: string; token: string }> {
      const answer = await hall.invite(guildId, body, { by });
      if (answer.status !== 201 && answer.status !== 202) throw new Error(answer.text);
      const path = answer.headers['location'] as string;
      // After a crowd the worker may have more to do than the API waits for.
      await until(`${path} is sent`, async () => (await api.call('GET', path, { token: by.token })).status === 200);
      return { id: answer.json['id'] as string, token: (answer.json['token'] ?? '') as string };
    },

    say(verb: string, id: string, by: Person, body?: unknown): Promise<Answer> {
      const said = { token: by.token, ...(body === undefined ? {} : { body }) };
      return asked(() => api.call('POST', `/v1/invites/${id}/${verb}`, said));
    },

    use(token: string, by: Person, as?: string): Promise<Answer> {
      return asked(() => api.call('POST', '/v1/invites/accept', { token: by.token, body: { token, as } }));
    },

    row: (id: string) => db.selectFrom('guildInvites').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),

    /** The state that the workflow of an invitation ended with. */
    async ended(id: string): Promise<unknown> {
      return (await deps.temporal.workflow.getHandle(inviteWorkflowId(id)).result()) as unknown;
    },

    /** Seats, members and uses agree, whatever was done. */
    async counts(guildId: string): Promise<{ seatsUsed: number; members: number; uses: number }> {
      const { rows } = await sql<{ seatsUsed: number; members: number; uses: number; counted: number }>`
        select g.seats_used, (select count(*) from guild_members m where m.guild_id = g.id and m.ended_at is null) as members,
          (select count(*) from guild_invite_uses u join guild_invites i on i.id = u.invite_id where i.guild_id = g.id) as uses,
          (select coalesce(sum(i.uses), 0)::bigint from guild_invites i where i.guild_id = g.id) as counted
        from guilds g where g.id = ${guildId}`.execute(db);
      const { counted, ...counts } = rows[0]!;
      if (counted !== counts.uses || counts.members !== counts.seatsUsed)
        throw new Error(`they do not agree: ${JSON.stringify(rows[0])}`);
      return counts;
    },

    async notices(ownerId: string): Promise<string[]> {
      const rows = await db
        .selectFrom('notices')
        .select('title')
        .where('ownerId', '=', ownerId)
        .where('kind', '=', 'guild_invite')
        .where('resolvedAt', 'is', null)
        .orderBy('openedAt')
        .execute();
      return rows.map(({ title }) => title);
    },

    async close(): Promise<void> {
      await workers.close();
      await api.close();
    },
  };
  return hall;
}

async function openInviteWorker(scope: TestScope, activities: Activities) {
  installRuntime(createLogger({ part: 'worker', level: 'silent' }));
  const connection = await NativeConnection.connect({ address: scope.temporalAddress });
  const worker = await createCoordinationWorker({
    connection,
    namespace: scope.namespace,
    identity: 'guilds/coordination/0',
    bundlePath: scope.workflowBundlePath(),
    weight: { pollers: 4, workflowSlots: 40, activitySlots: 8 },
    activities,
  });
  const running = worker.run();
  return {
    async close(): Promise<void> {
      worker.shutdown();
      await running;
      await connection.close();
    },
  };
}

/** Asked again, as a caller does who finds no connection free in a crowd: what was asked is the same. */
export async function asked(ask: () => Promise<Answer>): Promise<Answer> {
  for (;;) {
    const answer = await ask();
    if (answer.status !== 503) return answer;
  }
}
