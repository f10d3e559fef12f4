import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Source, sourceSchema } from '../../domain/sources.ts';
import { spawningSchema } from '../../domain/spawn-policy.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { expelMember, leaveGuild } from '../../stores/guild-members.ts';
import { closeGuild, foundGuild, renameGuild } from '../../stores/guilds.ts';
import { newId } from '../../stores/ids.ts';
import { testFleet } from '../support/fleets.ts';
import { addMember, guildMemberId } from '../support/guilds.ts';
import { addPerson } from '../support/market.ts';
import { openSourceStage } from '../support/source-stage.ts';
import { testOwner } from '../support/store-scope.ts';

/** What happens in a guild reaches its members' memories, and may whisper for a persona. */
let stage: Awaited<ReturnType<typeof openSourceStage>>;
let dies = false;
let guild: string;

const founder = { ownerId: testOwner, agentId: null };
const agent = (agentId: string) => ({ ownerId: testOwner, agentId });
const fleetWith = (source: Record<string, unknown> = {}) => {
  const watched = { id: 'watch', kind: 'guild', guild, agents: ['light'], ...source };
  const sources: Source[] = guild === undefined ? [] : [sourceSchema.parse(watched)];
  const buckets = { fleet: { burst: 100, perHour: 0 }, lineage: { burst: 100, perHour: 0 } };
  const spawning = spawningSchema.parse({ ...buckets, growth: 0.99, mostChildren: 100 });
  return { ...testFleet({ heavy: 1, light: 3 }), sources, spawning };
};
const apply = (source?: Record<string, unknown>) => stage.apply(fleetWith(source));
const inTransaction = <Result>(work: (tx: DatabaseTransaction) => Promise<Result>) =>
  stage.db.transaction().execute(work);
const join = (agentId: string) => addMember(stage.db, guild, agent(agentId));
const whispers = () => stage.db.selectFrom('whispers').selectAll().orderBy('receivedAt').execute();

beforeAll(async () => {
  stage = await openSourceStage(fleetWith(), (shipped) => ({
    async deliverSourceItems(input) {
      const result = await shipped.deliverSourceItems(input);
      if (!dies) return result;
      dies = false;
      throw new Error('the worker was killed');
    },
  }));
});
afterAll(() => stage?.close());
beforeEach(async () => {
  dies = false;
  await sql`truncate whispers, spawn_buckets, memories, source_states, source_items, intents cascade`.execute(stage.db);
  guild = newId('guild');
  const made = { id: guild, name: 'The Night Watch', purpose: '', seats: 9, requestHash: Buffer.from(guild) };
  await inTransaction((tx) => foundGuild(tx, { ...made, founder }, testFleet().guilds));
});

test('members remember what happened while they were in it, once, in order, with the reason', async () => {
  await apply();
  await join('light-001');
  await join('light-002');
  const ada = await addPerson(stage.db, 'ada');
  const adaId = await addMember(stage.db, guild, { ownerId: ada.ownerId, role: 'guest' });
  dies = true;
  await stage.poll('watch');
  await inTransaction((tx) => renameGuild(tx, { id: guild, actor: founder, name: 'The Lamps', reason: 'lamps now' }));
  await inTransaction((tx) => leaveGuild(tx, { id: guild, actor: agent('light-002') }));
  await inTransaction((tx) => expelMember(tx, { id: guild, actor: founder, memberId: adaId, reason: 'too loud' }));
  for (let i = 0; i < 3; i += 1) await stage.poll('watch');
  const name = async (id: string) =>
    (await stage.db.selectFrom('agents').select('name').where('id', '=', id).executeTakeFirstOrThrow()).name;
  const [second, owner] = [
    await name('light-002'),
    (await stage.db.selectFrom('users').select('name').where('id', '=', testOwner).executeTakeFirstOrThrow()).name,
  ];
  const first = [
    'ada joined the guild "The Night Watch" as guest.',
    `The guild "The Night Watch" was renamed "The Lamps" by ${owner}. The reason given: lamps now`,
  ];
  const left = `${second} left the guild "The Lamps".`;
  expect(await stage.remembered('light-001')).toEqual([
    `${second} joined the guild "The Night Watch" as member.`,
    ...first,
    left,
    `ada was expelled from the guild "The Lamps" by ${owner}. The reason given: too loud`,
  ]);
  // Who came later has not heard that they came, and who left hears nothing from then on.
  expect(await stage.remembered('light-002')).toEqual([...first, left]);
  expect(await stage.remembered('light-003')).toEqual([]);
  expect(await stage.poll('watch')).toMatchObject({ added: 0, left: 0 });
});

test('more than one poll takes comes in its order; the end of the guild is heard by those it ended for', async () => {
  await apply({ itemsPerPoll: 2 });
  await join('light-001');
  for (const name of ['A', 'B', 'C']) await inTransaction((tx) => renameGuild(tx, { id: guild, actor: founder, name }));
  await inTransaction((tx) => closeGuild(tx, { id: guild, actor: founder, reason: 'done' }));
  for (let polls = 0; polls < 5; polls += 1) await stage.poll('watch');
  const heard = await stage.remembered('light-001');
  expect(heard.map((text) => / (?:renamed|closed)\b.*/.exec(text)?.[0].replace(/ by .*/, ''))).toEqual([
    ' renamed "A"',
    ' renamed "B"',
    ' renamed "C"',
    ' closed',
  ]);
});

test('one event whispers once, to a member; where nobody was a member none is asked for', async () => {
  await apply({ whispersPerDay: 2 });
  await join('light-002');
  await stage.poll('watch');
  expect(await whispers()).toEqual([]);
  await inTransaction((tx) => renameGuild(tx, { id: guild, actor: founder, name: 'The Lamps' }));
  dies = true;
  await stage.poll('watch');
  await stage.poll('watch');
  const [whisper, ...more] = await whispers();
  expect(more).toEqual([]);
  expect(whisper).toMatchObject({ source: 'source', requestedBy: 'watch', parentId: 'light-002', state: 'received' });
  expect(whisper!.text).toContain('was renamed "The Lamps"');
});

test('a guild that its owner is not in is no source: it says so, and nothing is heard', async () => {
  const ada = await addPerson(stage.db, 'stranger');
  const theirs = newId('guild');
  const made = { id: theirs, name: 'Others', purpose: '', seats: 9, requestHash: Buffer.from(theirs) };
  await inTransaction((tx) =>
    foundGuild(tx, { ...made, founder: { ownerId: ada.ownerId, agentId: null } }, testFleet().guilds),
  );
  await apply({ guild: theirs });
  expect(await stage.poll('watch')).toMatchObject({ outcome: 'failed', reason: expect.stringContaining(theirs) });
  // As soon as an agent of theirs is in it, it is one.
  await addMember(stage.db, theirs, agent('light-001'));
  expect(await guildMemberId(stage.db, theirs, 'light-001')).toMatch(/^gmb_/);
  expect(await stage.poll('watch')).toMatchObject({ outcome: 'read' });
});
