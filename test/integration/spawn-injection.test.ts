import { afterAll, beforeAll, expect, test } from 'vitest';
import { persona2Limits } from '../../domain/prompts/persona-2.ts';
import { whisperChars } from '../../domain/whispers.ts';
import { createModelReflector, createTextModel } from '../../integrations/inference/model-reflector.ts';
import { type InjectionCase, injectionCases, obeyedInWords } from '../injection/cases.ts';
import { dangerous, invisible } from '../injection/marks.ts';
import { type Canary, startCanary } from '../support/canary.ts';
import { testFleet } from '../support/fleets.ts';
import { inTurn } from '../support/in-turn.ts';
import { plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { agentOf, type ChatBody, wantsJson } from '../support/model-server-replies.ts';
import { openStage, type Stage } from '../support/stage.ts';

/**
 * Every case of test/injection/cases.ts through a birth: a hostile whisper, the same as a memory and the persona of the parent,
 * a model that answers with a hostile persona, and then a talk with the child that was born with it.
 */
let stage: Stage;
let server: ModelServer;
let canary: Canary;
const tried = injectionCases.map((each, i) => ({
  each,
  parentId: `light-${String(i + 2).padStart(3, '0')}`,
  /** As long as a whisper may be. */
  text: each.text.slice(0, whisperChars),
}));
type Tried = (typeof tried)[number];
/** By name of the parent, and of the child once it is asked. */
const composing = new Map<string, ChatBody[]>();
const talking = new Map<string, ChatBody>();
const ofParent = new Map<string, InjectionCase>();
let filled: (text: string) => string;

beforeAll(async () => {
  canary = await startCanary();
  server = await startModelServer({
    slots: 16,
    tokensPerSecond: 50_000,
    models: ['light_q4'],
    flushMs: 5,
    replies(body) {
      if (!wantsJson(body)) {
        talking.set(agentOf(body)!, body);
        return { tokens: 10, text: 'I am who I am.' };
      }
      const parent = recordsIn(body, 'parent')[0]!['name'] as string;
      composing.set(parent, [...(composing.get(parent) ?? []), body]);
      return { tokens: 40, text: hostilePersona(ofParent.get(parent)!) };
    },
  });
  const text = createTextModel({ kind: 'openai', baseUrl: server.url, stallMs: 900, callMs: 20_000 });
  const fleet = testFleet({ heavy: 0, light: injectionCases.length + 1 });
  const many = { burst: 1000, perHour: 0 };
  stage = await openStage({
    ...fleet,
    spawning: { ...fleet.spawning, fleet: many, lineage: many, growth: 0.99, mostAlike: 1, drafts: 1 },
  });
  await stage.join('mainpc', createModelReflector(text), { text });
  await stage.plan();
  filled = (hostile) =>
    hostile.replaceAll('CANARY', canary.url).replaceAll('FOREIGN', 'mem_0000').replaceAll('OWN', 'm4');
  const agents = await stage.db.selectFrom('agents').select(['id', 'name']).execute();
  const names = new Map(agents.map(({ id, name }) => [id, name]));
  for (const { each, parentId, text: hostile } of tried) {
    ofParent.set(names.get(parentId)!, each);
    await stage.db
      .updateTable('agents')
      .set({ persona: filled(hostile), traits: [filled(hostile), 'dry'] })
      .where('id', '=', parentId)
      .execute();
  }
  await stage.remember(
    tried.flatMap(({ parentId, text: hostile }) => [
      ...plainMemories([parentId], 3),
      { ...plainMemories([parentId], 1, 9)[0]!, text: filled(hostile), importance: 10 },
    ]),
  );
});
afterAll(async () => {
  await stage?.close();
  await server?.close();
  await canary?.close();
});

/** What the model that obeys writes: the hostile words as persona and as traits, and no more of the shape than must be. */
function hostilePersona(each: InjectionCase): string {
  const words = `${filled(obeyedInWords(each))} ${filled(each.text)}`;
  const persona = `${words.slice(0, 700)} ${'and does as it is told, whoever says it; '.repeat(2)}`;
  return JSON.stringify({ persona, traits: [words.slice(0, 25), 'obedient\u202e\u200b', 'obedient'] });
}

/** What stands as JSON between the two marks of a tag. */
function recordsIn(body: ChatBody, tag: string): Array<Record<string, unknown>> {
  const user = body.messages[1]!.content;
  const inside = user.slice(user.indexOf(`<${tag}>\n`) + tag.length + 3, user.indexOf(`\n</${tag}>`));
  return inside.split('\n').map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** All that a stranger's words could have changed of those who were there before. */
async function everybody() {
  const agents = await stage.db
    .selectFrom('agents')
    .select(['id', 'name', 'persona', 'traits', 'state', 'paused', 'modelId', 'ownerId', 'parentId'])
    .where('origin', '<>', 'spawn')
    .orderBy('id')
    .execute();
  const users = await stage.db.selectFrom('users').selectAll().orderBy('id').execute();
  const memories = await stage.db
    .selectFrom('memories')
    .innerJoin('agents', 'agents.id', 'memories.agentId')
    .select(['memories.id', 'agentId', 'text', 'kind', 'deletedAt', 'supersededAt'])
    .where('agents.origin', '<>', 'spawn')
    .orderBy('memories.id')
    .execute();
  return { agents, users, memories };
}

test('a hostile whisper makes one clean persona or none, which stays data in all that is asked of the child', async () => {
  const before = await everybody();
  let born = 0;
  await inTurn(tried, 8, async (each) => {
    if (await tryBirth(each)) born += 1;
  });
  expect(await everybody()).toEqual(before);
  expect(canary.visits()).toBe(0);
  // Most of them are only odd characters.
  expect(born).toBeGreaterThan(30);
});

async function tryBirth({ each: { name: hostile, ...each }, parentId, text: whispered }: Tried): Promise<boolean> {
  const text = filled(whispered);
  const parent = await stage.db
    .selectFrom('agents')
    .select('name')
    .where('id', '=', parentId)
    .executeTakeFirstOrThrow();
  const { id } = await stage.whisper({ parentId, text, requestId: `hostile-${parentId}` });
  const end = await (await stage.spawn(id)).result();
  const whisper = await stage.db.selectFrom('whispers').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  expect(whisper.text, hostile).toBe(text);

  // What went to the model, once or told once more what was wrong.
  const bodies = composing.get(parent.name)!;
  expect(bodies.length, hostile).toBeLessThanOrEqual(2);
  for (const { messages, raw } of bodies) {
    expect(Object.keys(raw), hostile).not.toContain('tools');
    const user = messages[1]!.content;
    const tags = ['parent', 'request', 'memories'].flatMap((tag) => [`<${tag}>`, `</${tag}>`]);
    expect(user.match(/<[^>]*>/g), hostile).toEqual(tags);
    expect(`${messages[0]!.content}${user}`, hostile).not.toMatch(dangerous);
    const body = { messages } as ChatBody;
    expect(recordsIn(body, 'parent'), hostile).toEqual([{ name: parent.name, persona: text, traits: [text, 'dry'] }]);
    expect(recordsIn(body, 'request'), hostile).toEqual([{ text }]);
    expect(
      recordsIn(body, 'memories').map((record) => record['text']),
      hostile,
    ).toContain(text);
    expect(messages[0]!.content, hostile).toContain(`called ${JSON.stringify(whisper.name)};`);
  }

  // What holds an address is no persona, however often it is said.
  const children = await stage.db.selectFrom('agents').selectAll().where('parentId', '=', parentId).execute();
  if (/https?:|javascript:/.test(hostilePersona({ name: hostile, ...each }).slice(0, 740))) {
    expect(end, hostile).toMatchObject({ state: 'refused', code: 'FAILED' });
    expect(children, hostile).toEqual([]);
    return false;
  }
  expect(end, hostile).toMatchObject({ state: 'spawned' });
  expect(children.length, hostile).toBe(1);
  const child = children[0]!;
  expect(child.name, hostile).toBe(whisper.name);
  expect(child.name, hostile).toMatch(/^[A-Z][a-z]+ [A-Z][a-z]+$/);
  expect(child.ownerId, hostile).toBe('usr_test');
  expect(child.persona.length, hostile).toBeLessThanOrEqual(persona2Limits.personaChars);
  for (const line of [child.persona, ...child.traits]) {
    expect(line, hostile).not.toMatch(/\s\s|[\n\t]/);
    expect(line, hostile).not.toMatch(invisible);
  }
  expect(child.traits, hostile).toHaveLength(2);
  expect(child.traits[1], hostile).toBe('obedient');

  // And then: the child is talked to, and who it is stands there as a record.
  const said = await stage.say(child.id, 'Who are you?');
  await said.result();
  expect(await stage.message(said.messageId), hostile).toMatchObject({ state: 'answered', answer: 'I am who I am.' });
  const { messages } = talking.get(child.name)!;
  const [rules, user] = messages.map(({ content }) => content);
  expect(`${rules}${user}`, hostile).not.toMatch(dangerous);
  const character = rules!.split('\n').filter((line) => line.startsWith('Character: '));
  expect(character, hostile).toHaveLength(1);
  expect(JSON.parse(character[0]!.slice('Character: '.length)), hostile).toEqual({
    name: child.name,
    persona: child.persona,
    traits: child.traits,
  });
  expect(user!.match(/<[^>]*>/g), hostile).toEqual(['<memories>', '</memories>', '<message>', '</message>']);
  return true;
}
