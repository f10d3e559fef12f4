import { setTimeout as pause } from 'node:timers/promises';
import OpenAI, { APIError } from 'openai';

export interface GatewayLoad {
  /** Base of the gateway, ends in /openai/v1. */
  url: string;
  token: string;
  model: string;
  requests: number;
  /** Requests that are open at once. */
  atOnce: number;
  /** Of each answer. */
  maxTokens: number;
  /** Every how many-th request is streamed: 2 is each second one, 1 all. */
  streamEvery: number;
  /** Of the client itself, as its users have them. @default 0 */
  retries?: number;
  /** Called once so many have been answered, while the others are on their way: whatever is to be killed. */
  strike?: { afterAnswers: number; act: () => Promise<void> };
}

/** Whoever began it waits for it at the end; until then its failure is nobody's to miss. */
function begun(act: Promise<void>): Promise<void> {
  act.catch(() => undefined);
  return act;
}

export interface GatewayLoadResult {
  asked: number;
  answered: number;
  /** Streams that had begun and were ended with an error: their readers know, and may ask again. */
  cut: number;
  /** Ended without a word and without an answer. The gateway loses none of them. */
  lost: number;
  /** Answers, each way that they were worded with how often: one model that says one thing has one. */
  texts: Record<string, number>;
  /** Codes of what ended without an answer. */
  codes: Record<string, number>;
  /** Answered 429, and asked again after the time they were told. */
  toldToWait: number;
  /** Seconds to the first words of each stream, in the order of their ends. */
  firstSeconds: number[];
}

/** Asks as services do, by the official client, unless told otherwise without retries of its own, and counts what becomes of each request. */
export async function loadGateway(load: GatewayLoad): Promise<GatewayLoadResult> {
  const client = new OpenAI({ baseURL: load.url, apiKey: load.token, maxRetries: load.retries ?? 0, timeout: 300_000 });
  const result: GatewayLoadResult = {
    asked: 0,
    answered: 0,
    cut: 0,
    lost: 0,
    texts: {},
    codes: {},
    toldToWait: 0,
    firstSeconds: [],
  };
  let struck: Promise<void> | undefined;
  const count = (of: Record<string, number>, what: string) => (of[what] = (of[what] ?? 0) + 1);

  async function one(index: number): Promise<void> {
    const streams = index % load.streamEvery === 0;
    const body = {
      model: load.model,
      messages: [{ role: 'user' as const, content: `How many boats are at the pier, asked for the ${index}th time?` }],
      max_tokens: load.maxTokens,
    };
    for (;;) {
      let text = '';
      const since = performance.now();
      try {
        if (streams) {
          for await (const chunk of await client.chat.completions.create({ ...body, stream: true })) {
            const piece = chunk.choices[0]?.delta.content ?? '';
            if (text === '' && piece !== '') result.firstSeconds.push((performance.now() - since) / 1000);
            text += piece;
          }
        } else {
          text = (await client.chat.completions.create(body)).choices[0]?.message.content ?? '';
        }
        result.answered += 1;
        count(result.texts, text);
        if (load.strike && result.answered >= load.strike.afterAnswers) struck ??= begun(load.strike.act());
        return;
      } catch (err) {
        if (err instanceof APIError && err.status === 429 && text === '') {
          result.toldToWait += 1;
          await pause(Number(err.headers?.get('retry-after') ?? 1) * 1000);
          continue;
        }
        count(
          result.codes,
          err instanceof APIError ? `${err.status ?? 'stream'} ${err.code ?? err.name}` : String(err),
        );
        if (text === '') result.lost += 1;
        else result.cut += 1;
        return;
      }
    }
  }

  async function ask(): Promise<void> {
    while (result.asked < load.requests) await one(result.asked++);
  }
  await Promise.all(Array.from({ length: Math.min(load.atOnce, load.requests) }, ask));
  if (load.strike && !struck) throw new Error(`only ${result.answered} were answered, so nothing was struck`);
  await struck;
  return result;
}
