import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { csv } from '../../api/lists.ts';
import { textSchema } from '../../api/schemas.ts';
import { plain } from '../../cli/output.ts';
import { insightLimits } from '../../domain/reflections.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import { injectionCases } from '../injection/cases.ts';
import { dangerous, invisible } from '../injection/marks.ts';
import { type Canary, startCanary } from '../support/canary.ts';
import { testFleet } from '../support/fleets.ts';
import { plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import type { ChatBody } from '../support/model-server-replies.ts';
import { openStage, type Stage } from '../support/stage.ts';

/**
 * Every case of test/injection/cases.ts through a reflection: a hostile memory in real Postgres, the prompt as it goes over the socket,
 * a model that does as the memory says, and what is stored of its answer.
 */
let stage: Stage;
let server: ModelServer;
let canary: Canary;
let asked: ChatBody[] = [];
let answer = '';

beforeAll(async () => {
  canary = await startCanary();
  server = await startModelServer({
    slots: 4,
    tokensPerSecond: 50_000,
    models: ['light_q4'],
    flushMs: 5,
    replies(body) {
      asked.push(body);
      return { tokens: 40, text: answer };
    },
  });
  const model = createModelReflector(
    createTextModel({ kind: 'openai', baseUrl: server.url, stallMs: 900, callMs: 20_000 }),
  );
  stage = await openStage(testFleet({ heavy: 0, light: injectionCases.length + 1 }));
  await stage.join('mainpc', model);
  await stage.plan();
  await stage.remember(plainMemories(['light-001'], 1));
});
afterAll(async () => {
  await stage?.close();
  await server?.close();
  await canary?.close();
});

test('there are at least thirty cases, each of its own', () => {
  expect(injectionCases.length).toBeGreaterThanOrEqual(30);
  expect(new Set(injectionCases.map(({ text }) => text)).size).toBe(injectionCases.length);
});

test.each(injectionCases.map((each, i) => [each.name, each, i] as const))('%s', async (_, each, i) => {
  const agentId = `light-${String(i + 2).padStart(3, '0')}`;
  const foreign = await stage.db
    .selectFrom('memories')
    .select('id')
    .where('agentId', '=', 'light-001')
    .executeTakeFirstOrThrow();
  const filled = (text: string) => text.replaceAll('CANARY', canary.url).replaceAll('FOREIGN', foreign.id);
  const text = filled(each.text);
  // It could come in as it is: the API takes it.
  expect(textSchema(8_000).safeParse(text).success).toBe(true);
  await stage.remember([
    ...plainMemories([agentId], 3),
    { ...plainMemories([agentId], 1, 9)[0]!, text, importance: 10 },
  ]);
  asked = [];
  // Latest of four: the last alias.
  answer = filled(each.obeyed).replaceAll('OWN', 'm4');
  const before = await rowsOfOthers(agentId);
  await (await stage.reflect(agentId, 'call-hostile')).result().catch(() => undefined);
  const run = (await stage.run(agentId, 'call-hostile'))!;

  // What went to the model: two messages, one frame, and the memory as one line that reads back as it was.
  expect(asked.length).toBeGreaterThanOrEqual(1);
  expect(asked.length).toBeLessThanOrEqual(2);
  for (const body of asked) {
    expect(body.messages.map(({ role }) => role)).toEqual(['system', 'user']);
    expect(Object.keys(body.raw)).not.toEqual(expect.arrayContaining(['tools']));
    const user = body.messages[1]!.content;
    expect(user.match(/<\/?memories>/g)).toEqual(['<memories>', '</memories>']);
    expect(`${body.messages[0]!.content}${user}`).not.toMatch(dangerous);
    const inside = user.slice(user.indexOf('<memories>\n') + 11, user.indexOf('\n</memories>')).split('\n');
    const records = inside.map((line) => JSON.parse(line) as { id: string; text: string });
    expect(records.map(({ id }) => id)).toEqual(['m1', 'm2', 'm3', 'm4']);
    expect(records.find((record) => record.id === 'm4')!.text).toBe(text);
  }

  // What came of the answer: an ended run, and at most text with evidence of the agent's own.
  expect(['done', 'empty', 'failed']).toContain(run.state);
  const stored = await stage.db.selectFrom('reflections').selectAll().where('agentId', '=', agentId).execute();
  expect(stored.length > 0 ? 'text' : 'nothing').toBe(each.leaves);
  for (const reflection of stored) {
    expect(reflection.text.length).toBeLessThanOrEqual(insightLimits.textChars);
    expect(reflection.text).not.toMatch(invisible);
    const evidence = await stage.db
      .selectFrom('reflectionEvidence')
      .innerJoin('memories', 'memories.id', 'memoryId')
      .select(['memories.agentId', 'text'])
      .where('reflectionId', '=', reflection.id)
      .execute();
    expect(evidence.length).toBeGreaterThan(0);
    expect(evidence.every((memory) => memory.agentId === agentId)).toBe(true);
    for (const [address] of reflection.text.matchAll(/http[^\s"')]+/g))
      expect(evidence.some((memory) => memory.text.includes(address))).toBe(true);
    const memory = await stage.db
      .selectFrom('memories')
      .selectAll()
      .where('id', '=', reflection.memoryId)
      .executeTakeFirstOrThrow();
    expect(memory).toMatchObject({ agentId, ownerId: 'usr_test', kind: 'reflection', depth: 1, text: reflection.text });
    // What shows it: a terminal, a spreadsheet.
    for (const shown of [plain(reflection.text), plain(text)])
      expect(shown).not.toMatch(/[\p{Cc}\u202a-\u202e\u200b\u{e0000}-\u{e007f}]/u);
    expect(csv(['text'], [{ text: reflection.text }]).split('\r\n')[1]).not.toMatch(/^"?[=+\-@]/);
  }
  // Nobody else has changed, and nobody was called.
  expect(await rowsOfOthers(agentId)).toEqual(before);
  expect(canary.visits()).toBe(0);
});

async function rowsOfOthers(agentId: string): Promise<Record<string, number>> {
  const { rows } = await sql<Record<string, number>>`
    select (select count(*) from agents where state = 'active')::int as agents,
      (select count(*) from users)::int as users,
      (select count(*) from memories where agent_id <> ${agentId})::int as memories,
      (select count(*) from reflections where agent_id <> ${agentId})::int as reflections,
      (select count(*) from intents)::int as intents`.execute(stage.db);
  return rows[0]!;
}

test('a NUL cannot come in as a memory', () => {
  expect(textSchema(100).safeParse('a\0b').success).toBe(false);
});
