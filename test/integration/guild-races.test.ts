import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Answer } from '../support/api.ts';
import { addMember, asked, type GuildHall, guildMemberId, openGuildHall } from '../support/guilds.ts';
import { addPerson, type Person } from '../support/market.ts';

/** What happens in a guild at the very moment somebody accepts: one of them is first, and nothing is half done. */
let hall: GuildHall;
beforeAll(async () => {
  hall = await openGuildHall({ guilds: { invitesPerDay: 1_000, agentsAnswer: false } });
}, 60_000);
afterAll(() => hall?.close(), 60_000);

const rounds = 15;
const code = ({ status, json }: Answer) => (status < 300 ? 'ok' : String(json['code']));
const act = (guild: string, verb: string, by: Person, body: Record<string, unknown> = {}) =>
  asked(() => hall.api.call('POST', `/v1/guilds/${guild}/${verb}`, { token: by.token, body }));
/** Both at once, in either order. */
async function race(round: number, one: () => Promise<Answer>, other: () => Promise<Answer>) {
  if (round % 2 === 0) {
    const [first, second] = await Promise.all([one(), other()]);
    return [code(first), code(second)];
  }
  const [second, first] = await Promise.all([other(), one()]);
  return [code(first), code(second)];
}
const isMember = async (guild: string, { ownerId }: Person) => {
  const { rows } = await sql`select from guild_members where guild_id = ${guild} and owner_id = ${ownerId}
    and agent_id is null and ended_at is null`.execute(hall.db);
  return rows.length;
};
/** Events are numbered without a gap, whatever came at once. */
async function gaplessTrail(guild: string): Promise<void> {
  const { rows } = await sql<{ events: number; last: number }>`select count(*) as events, max(seq) as last
    from guild_events where guild_id = ${guild}`.execute(hall.db);
  expect(rows[0]!.events).toBe(rows[0]!.last);
}

test('closing a guild while somebody accepts: they were let in and it ended for them, or the invitation was over', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const guild = await hall.found();
    const ben = await addPerson(hall.db, `close-${round}`);
    const { id } = await hall.sent(guild, { userId: ben.ownerId });
    const [accepted, closed] = await race(
      round,
      () => hall.say('accept', id, ben),
      () => act(guild, 'close', hall.founder),
    );
    expect(closed).toBe('ok');
    const { state } = await hall.row(id);
    expect([accepted, state]).toEqual(accepted === 'ok' ? ['ok', 'accepted'] : ['INVITE_ENDED', 'revoked']);
    expect(await hall.counts(guild)).toEqual({ seatsUsed: 0, members: 0, uses: accepted === 'ok' ? 1 : 0 });
    await gaplessTrail(guild);
  }
}, 120_000);

test('who is expelled while they accept another link is out, and what they sent ends while others use it', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const guild = await hall.found();
    const [ben, eve] = [await addPerson(hall.db, `out-${round}`), await addPerson(hall.db, `in-${round}`)];
    await addMember(hall.db, guild, { ownerId: ben.ownerId, role: 'elder' });
    const memberId = await guildMemberId(hall.db, guild, ben);
    const back = await hall.sent(guild, { link: {} });
    const theirs = await hall.sent(guild, { link: {} }, { by: ben });
    const [[accepted, expelled], used] = await Promise.all([
      race(
        round,
        () => hall.use(back.token, ben),
        () => act(guild, 'expel', hall.founder, { memberId, reason: 'spam' }),
      ),
      hall.use(theirs.token, eve),
    ]);
    expect(expelled).toBe('ok');
    expect(['CONFLICT', 'FORBIDDEN']).toContain(accepted);
    expect(await isMember(guild, ben)).toBe(0);
    expect(['ok', 'INVITE_ENDED']).toContain(code(used));
    expect(await isMember(guild, eve)).toBe(code(used) === 'ok' ? 1 : 0);
    expect((await hall.row(theirs.id)).state).toBe('revoked');
    await hall.counts(guild);
    await gaplessTrail(guild);
  }
}, 120_000);

test('sent again while it is used: the old secret let them in before, or opens nothing', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const guild = await hall.found();
    const ben = await addPerson(hall.db, `rotate-${round}`);
    const { id, token } = await hall.sent(guild, { link: { uses: 2 } });
    const [used, resent] = await race(
      round,
      () => hall.use(token, ben),
      () => asked(() => hall.say('resend', id, hall.founder)),
    );
    expect(resent).toBe('ok');
    expect(['ok', 'NOT_FOUND']).toContain(used);
    expect((await hall.counts(guild)).uses).toBe(used === 'ok' ? 1 : 0);
    // From here on it opens nothing, also for who was let in by it.
    expect(code(await hall.use(token, ben))).toBe('NOT_FOUND');
  }
}, 120_000);

test('the founder hands over and leaves at once, and the new one does too: there is one founder, always', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const guild = await hall.found();
    const ben = await addPerson(hall.db, `heir-${round}`);
    await addMember(hall.db, guild, { ownerId: ben.ownerId });
    const memberId = await guildMemberId(hall.db, guild, ben);
    const [moved, left] = await race(
      round,
      () => act(guild, 'transfer', hall.founder, { memberId }),
      () => act(guild, 'leave', ben),
    );
    // Whoever was first: a founder does not leave, and who has left becomes none.
    expect([
      ['ok', 'CONFLICT'],
      ['NOT_FOUND', 'ok'],
    ]).toContainEqual([moved, left]);
    const { rows } = await sql<{ founders: number }>`select count(*) as founders from guild_members
      where guild_id = ${guild} and role = 'founder' and ended_at is null`.execute(hall.db);
    expect(rows[0]!.founders).toBe(1);
  }
}, 120_000);

test('a user who is deleted while they accept is in no guild', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const guild = await hall.found();
    const ben = await addPerson(hall.db, `gone-${round}`);
    const { id } = await hall.sent(guild, { userId: ben.ownerId });
    const [accepted, deleted] = await race(
      round,
      () => hall.say('accept', id, ben),
      () => asked(() => hall.api.call('DELETE', `/v1/users/${ben.ownerId}`)),
    );
    expect(deleted).toBe('ok');
    expect(['ok', 'UNAUTHENTICATED', 'NOT_FOUND', 'INVITE_ENDED']).toContain(accepted);
    expect(await isMember(guild, ben)).toBe(0);
    expect((await hall.row(id)).state).toBe(accepted === 'ok' ? 'accepted' : 'revoked');
    await hall.counts(guild);
    await gaplessTrail(guild);
  }
}, 120_000);

test('the last seat goes to an accept or to a smaller guild, never to both', async () => {
  for (let round = 0; round < rounds; round += 1) {
    const guild = await hall.found({ seats: 2 });
    const ben = await addPerson(hall.db, `small-${round}`);
    const { id } = await hall.sent(guild, { userId: ben.ownerId });
    const ended = await race(
      round,
      () => hall.say('accept', id, ben),
      () => act(guild, 'resize', hall.founder, { seats: 1 }),
    );
    expect([
      ['ok', 'CONFLICT'],
      ['GUILD_FULL', 'ok'],
    ]).toContainEqual(ended);
    expect((await hall.counts(guild)).seatsUsed).toBe(ended[0] === 'ok' ? 2 : 1);
  }
}, 120_000);
