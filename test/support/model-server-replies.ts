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
export function answerFor(body: ChatBody): string {
  const prompt = body.messages.at(-1)?.content ?? '';
  const first = /^\{"id":"(m\d+)".*?"text":("(?:[^"\\]|\\.)*")\}$/m.exec(prompt);
  if (!first) return 'I do not remember anything of that, and I would rather say so than make something up for you.';
  const words = (JSON.parse(first[2]!) as string).split(/\s+/).slice(0, 12).join(' ');
  return `What I remember best is this: “${words}” [${first[1]}], and I think of it often when the evening comes.`;
}

/** Insights that each name two memories of the prompt by alias; the same prompt and seed get the same answer. */
export function insightsFor(body: ChatBody, seed: number): string {
  const prompt = body.messages.map((message) => message.content).join('\n');
  const memories = [...prompt.matchAll(/^\{"id":"(m\d+)".*?"text":("(?:[^"\\]|\\.)*")\}$/gm)].map((match) => ({
    alias: match[1] ?? '',
    words: (JSON.parse(match[2] ?? '""') as string).split(/\s+/).slice(0, 8).join(' '),
  }));
  if (memories.length === 0) return JSON.stringify({ insights: [] });
  const count = Math.min(3, memories.length);
  const insights = Array.from({ length: count }, (_, i) => {
    const first = memories[(seed + i) % memories.length]!;
    const second = memories[(seed + i + Math.ceil(memories.length / 2)) % memories.length]!;
    return {
      text: `Insight ${i + 1}: “${first.words}” and “${second.words}” belong together.`,
      evidence: [...new Set([first.alias, second.alias])],
    };
  });
  return JSON.stringify({ insights });
}
