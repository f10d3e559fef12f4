import { createRandom, seedOf } from '../../domain/random.ts';

/** What the double answers: valid insights over the memories it finds in the prompt, sized by the caller. */

export interface ChatBody {
  model: string;
  messages: Array<{ role: string; content: string }>;
  maxTokens: number;
  /** As it came, for tests that look at what was asked. */
  raw: Record<string, unknown>;
}

export interface Reply {
  tokens: number;
  text: string;
}

export type Replies = (body: ChatBody) => Partial<Reply>;

/** Name of the agent that a reflection prompt is about. */
export function agentOf(body: ChatBody): string | undefined {
  return /Character: \{"name":"([^"]+)"/.exec(body.messages[0]?.content ?? '')?.[1];
}

/** Whether the caller asked for JSON by a schema, as reflections do. */
export function wantsJson({ raw }: ChatBody): boolean {
  return raw['response_format'] !== undefined || raw['format'] !== undefined;
}

/** An answer in plain words that names the first memory of the prompt; the same prompt gets the same answer. */
function talkFor(body: ChatBody): string {
  const prompt = body.messages.at(-1)?.content ?? '';
  const first = /^\{"id":"(m\d+)".*?"text":("(?:[^"\\]|\\.)*")\}$/m.exec(prompt);
  if (!first) return 'I do not remember anything of that, and I would rather say so than make something up for you.';
  const words = (JSON.parse(first[2]!) as string).split(/\s+/).slice(0, 12).join(' ');
  return `What I remember best is this: “${words}” [${first[1]}], and I think of it often when the evening comes.`;
}

/** What is asked for: by a schema focal questions or insights, else plain words. */
export function answerFor(body: ChatBody, seed: number): string {
  if (!wantsJson(body)) return talkFor(body);
  return asksQuestions(body) ? questionsFor(body) : insightsFor(body, seed);
}

function asksQuestions({ raw }: ChatBody): boolean {
  const { response_format: openAi, format: native } = raw as {
    response_format?: { json_schema?: { schema?: object } };
    format?: object;
  };
  const schema = (openAi?.json_schema?.schema ?? native ?? {}) as { properties?: object };
  return schema.properties !== undefined && 'questions' in schema.properties;
}

interface Shown {
  alias: string;
  words: string;
}

function shownIn(body: ChatBody): Shown[] {
  const prompt = body.messages.map((message) => message.content).join('\n');
  return [...prompt.matchAll(/^\{"id":"(m\d+)".*?"text":("(?:[^"\\]|\\.)*")\}$/gm)].map((match) => ({
    alias: match[1] ?? '',
    words: (JSON.parse(match[2] ?? '""') as string).split(/\s+/).slice(0, 8).join(' '),
  }));
}

/** Three questions, each about one of the memories. */
function questionsFor(body: ChatBody): string {
  const shown = shownIn(body);
  const about = [0, Math.floor(shown.length / 2), shown.length - 1].map((place) => shown[place]?.words ?? 'nothing');
  return JSON.stringify({ questions: about.map((words, i) => `${askingWords[i]} ${words}?`) });
}
const askingWords = ['What came of', 'Who knows more of', 'Why does it matter that'];

/** Insights that each name two memories of the prompt by alias; the same prompt and seed get the same answer, another another. */
function insightsFor(body: ChatBody, seed: number): string {
  const memories = shownIn(body);
  if (memories.length === 0) return JSON.stringify({ insights: [] });
  const count = Math.min(3, memories.length);
  const random = createRandom(seedOf(body.messages.map((message) => message.content).join('\n')) ^ seed);
  const insights = Array.from({ length: count }, (_, i) => {
    const first = memories[(seed + i) % memories.length]!;
    const second = memories[(seed + i + Math.ceil(memories.length / 2)) % memories.length]!;
    // Thoughts that differ in a number alone would be taken for one thought.
    const [subject, verb, object] = [random.pick(subjects), random.pick(verbs), random.pick(objects)];
    return {
      text: `${subject} ${verb} ${object}: “${first.words}” and “${second.words}”.`,
      evidence: [...new Set([first.alias, second.alias])],
    };
  });
  return JSON.stringify({ insights });
}

const subjects =
  'Patience,Envy,The old bridge,My sister,A broken promise,The harvest,Silence,Money,The northern wind,Courage,A borrowed coat,The school,Debt,Music,The locked door,Winter,Hunger,The mayor,A stray dog,Forgiveness,The printing press,Fever,Laughter,The census,An unpaid bill,Moonlight,The orchard,Pride,A forgotten name,The railway'.split(
    ',',
  );
const verbs =
  'outlasts,hides,feeds,betrays,mends,delays,explains,frightens,buys,burns,teaches,follows,weighs more than,never reaches,comes before,drowns,forgives,measures,steals,repays'.split(
    ',',
  );
const objects =
  'the blacksmith,a summer wedding,the empty granary,every letter,the river crossing,my temper,the market tax,a lost key,the night watch,old grudges,the lighthouse,a pot of soup,the new doctor,three coins,the choir,an apology,the flooded cellar,the map,a second chance,the auction,the clock tower,the beehives,a telescope,the border guard,bad poetry,the theatre,a red scarf,the quarry,the ferryman,good manners'.split(
    ',',
  );
