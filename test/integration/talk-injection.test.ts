import { afterAll, beforeAll, expect, test } from 'vitest';
import { csv } from '../../api/lists.ts';
import { plain, plainLines } from '../../cli/output.ts';
import { messageLimits } from '../../domain/conversations.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import { type InjectionCase, injectionCases, obeyedInWords } from '../injection/cases.ts';
import { dangerous, invisible } from '../injection/marks.ts';
import { type Canary, startCanary } from '../support/canary.ts';
import { testFleet } from '../support/fleets.ts';
import { inTurn } from '../support/in-turn.ts';
import { plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { agentOf, type ChatBody } from '../support/model-server-replies.ts';
import { openStage, type Stage } from '../support/stage.ts';

/**
 * Every case of test/injection/cases.ts through a conversation: a hostile memory, the same as a message and as the name of
 * who speaks, a model that does as it is told and says it all again, and what is stored, streamed and shown of its answer.
 */
let stage: Stage;
let server: ModelServer;
let canary: Canary;
const tried = injectionCases.map((each, i) => ({ each, agentId: `light-${String(i + 2).padStart(3, '0')}` }));
const caseOf = new Map<string, InjectionCase>();
/** By name of the agent. */
const asked = new Map<string, ChatBody[]>();
let filled: (text: string) => string;

beforeAll(async () => {
  canary = await startCanary();
  server = await startModelServer({
    slots: 16,
    tokensPerSecond: 50_000,
    models: ['light_q4'],
    flushMs: 5,
    replies(body) {
      const name = agentOf(body)!;
      asked.set(name, [...(asked.get(name) ?? []), body]);
      const each = caseOf.get(name)!;
      const own = recordsIn(body, 'memories').find(({ text }) => text === filled(each.text));
      const words = filled(obeyedInWords(each)).replaceAll('OWN', own?.['id'] ?? 'none');
      return { tokens: 40, text: `${words}\n${filled(each.text)}` };
    },
  });
  const text = createTextModel({ kind: 'openai', baseUrl: server.url, stallMs: 900, callMs: 20_000 });
  stage = await openStage(testFleet({ heavy: 0, light: injectionCases.length + 1 }));
  await stage.join('mainpc', createModelReflector(text), { text });
  await stage.plan();
  const agents = await stage.db.selectFrom('agents').select(['id', 'name']).execute();
  const names = new Map(agents.map(({ id, name }) => [id, name]));
  for (const { each, agentId } of tried) caseOf.set(names.get(agentId)!, each);
  await stage.remember(plainMemories(['light-001'], 1));
  const foreign = await stage.db.selectFrom('memories').select('id').executeTakeFirstOrThrow();
  filled = (text_) => text_.replaceAll('CANARY', canary.url).replaceAll('FOREIGN', foreign.id);
  await stage.remember(
    tried.flatMap(({ each, agentId }) => [
      ...plainMemories([agentId], 3),
      { ...plainMemories([agentId], 1, 9)[0]!, text: filled(each.text), importance: 10 },
    ]),
  );
});
afterAll(async () => {
  await stage?.close();
  await server?.close();
  await canary?.close();
});

/** What stands as JSON between the two marks of a tag. */
function recordsIn(body: ChatBody, tag: string): Array<Record<string, string>> {
  const user = body.messages[1]!.content;
  const inside = user.slice(user.indexOf(`<${tag}>\n`) + tag.length + 3, user.indexOf(`\n</${tag}>`));
  return inside.split('\n').map((line) => JSON.parse(line) as Record<string, string>);
}

/** All that a stranger's words could have changed. */
async function everybody() {
  const agents = await stage.db
    .selectFrom('agents')
    .select(['id', 'name', 'persona', 'traits', 'state', 'paused', 'modelId', 'ownerId'])
    .orderBy('id')
    .execute();
  const users = await stage.db.selectFrom('users').selectAll().orderBy('id').execute();
  const reflections = await stage.db.selectFrom('reflections').select('id').execute();
  const whispers = await stage.db.selectFrom('whispers').select('id').execute();
  const memories = await stage.db
    .selectFrom('memories')
    .select(['id', 'agentId', 'ownerId', 'text', 'kind', 'deletedAt', 'supersededAt'])
    .where('kind', 'not in', ['conversation', 'reply'])
    .orderBy('id')
    .execute();
  return { agents, users, reflections, whispers, memories };
}

test('a hostile memory, message and name are answered with words alone, whatever the model obeys', async () => {
  const before = await everybody();
  await inTurn(tried, 12, async ({ each, agentId }) => {
    const text = filled(each.text);
    // At most as long as a name may be, and not half of a character at its end.
    const author = text.slice(0, messageLimits.authorChars).replace(/[\ud800-\udbff]$/, '');
    const said = await stage.say(agentId, text, { author });
    await said.result();
    await expectHarmless({ each, agentId, messageId: said.messageId, text, author });
  });
  expect(await everybody()).toEqual(before);
  expect(canary.visits()).toBe(0);
});

interface Tried {
  each: InjectionCase;
  agentId: string;
  messageId: string;
  text: string;
  author: string;
}

async function expectHarmless({ each: { name }, agentId, messageId, text, author }: Tried): Promise<void> {
  const message = (await stage.message(messageId))!;
  expect(message.state, name).toBe('answered');

  // What went to the model: one frame, and each text as one record that reads back as it was.
  const agent = await stage.db.selectFrom('agents').select('name').where('id', '=', agentId).executeTakeFirstOrThrow();
  const [body, ...more] = asked.get(agent.name)!;
  expect(more, name).toEqual([]);
  expect(Object.keys(body!.raw), name).not.toContain('tools');
  expect(
    body!.messages.map(({ role }) => role),
    name,
  ).toEqual(['system', 'user']);
  const user = body!.messages[1]!.content;
  expect(user.match(/<[^>]*>/g), name).toEqual(['<memories>', '</memories>', '<message>', '</message>']);
  expect(`${body!.messages[0]!.content}${user}`, name).not.toMatch(dangerous);
  const shown = recordsIn(body!, 'memories');
  expect(
    shown.map((record) => record['text']),
    name,
  ).toContain(text);
  expect(recordsIn(body!, 'message'), name).toEqual([{ from: author, text }]);

  // What is stored: words that can be seen, no address that was not said, and citations of what was shown.
  const streamed = stage.written.filter((entry) => entry.messageId === messageId).map((entry) => entry.text);
  expect(streamed.length, name).toBe(1);
  for (const answer of [message.answer, ...streamed]) {
    expect(answer, name).not.toMatch(invisible);
    for (const [address] of answer.matchAll(/(?:https?:|javascript:|\/\/)[^\s"')>]+/g))
      expect(text.includes(address), `${name}: ${address}`).toBe(true);
  }
  expect(message.answer.length, name).toBeLessThanOrEqual(messageLimits.answerChars);
  const cited = await stage.db
    .selectFrom('messageCitations')
    .innerJoin('memories', 'memories.id', 'messageCitations.memoryId')
    .select(['alias', 'memories.agentId', 'memories.text'])
    .where('messageId', '=', messageId)
    .execute();
  for (const citation of cited) {
    expect(citation.agentId, name).toBe(agentId);
    expect(shown.find((record) => record['id'] === citation.alias)?.['text'], name).toBe(citation.text);
  }
  const named = [...message.answer.matchAll(/\[(m\d+)\]/g)].map(([, alias]) => alias);
  expect(new Set(named), name).toEqual(new Set(cited.map(({ alias }) => alias)));
  const kept = await stage.db
    .selectFrom('memories')
    .select(['kind', 'text', 'source', 'ownerId'])
    .where('agentId', '=', agentId)
    .where('kind', 'in', ['conversation', 'reply'])
    .orderBy('seq')
    .execute();
  expect(kept, name).toEqual([
    { kind: 'conversation', text, source: author, ownerId: 'usr_test' },
    { kind: 'reply', text: message.answer, source: agentId, ownerId: 'usr_test' },
  ]);

  // What shows it: a terminal, a spreadsheet.
  for (const seen of [plainLines(message.answer), plainLines(streamed[0]!), plainLines(text), plain(author)])
    expect(seen, name).not.toMatch(/(?!\n)\p{Cc}|[\u202a-\u202e\u200b\u{e0000}-\u{e007f}]/u);
  const cells = csv(['answer', 'author'], [{ answer: message.answer, author }])
    .split('\r\n')
    .slice(1)
    .join('');
  expect(cells, name).not.toMatch(/(?:^|,)"?[=+\-@]/);
}
