import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { modelConnectionError, modelStatusError } from './model-errors.ts';
import { ollamaRoot } from './ollama.ts';

/** What memory a model needs follows from these. */
export interface ModelShape {
  family: string;
  layers: number;
  queryHeads: number;
  kvHeads: number;
  headSize: number;
  contextTokens: number;
}

const shownSchema = z.object({
  details: z.object({ family: z.string().default('') }).optional(),
  model_info: z.record(z.string(), z.unknown()).default({}),
});

/** Asks Ollama for the shape of an installed model, as its file's metadata gives it. */
export async function ollamaModelShape(baseUrl: string, model: string, timeoutMs = 3000): Promise<ModelShape> {
  const shown = shownSchema.safeParse(await show(baseUrl, model, timeoutMs));
  if (!shown.success) throw new DomainError('MODEL_SERVER_DOWN', `Ollama says of ${model} what is not understood`);
  const info = shown.data.model_info;
  const number = (suffix: string): number | undefined => {
    const value = Object.entries(info).find(([key]) => key.endsWith(`.${suffix}`))?.[1];
    // Some files give one number a layer; the largest is safe for memory.
    const numbers = [value].flat().filter((one) => typeof one === 'number');
    return numbers.length > 0 ? Math.max(...numbers) : undefined;
  };
  const layers = number('block_count');
  const queryHeads = number('attention.head_count');
  const embedding = number('embedding_length');
  if (layers === undefined || queryHeads === undefined || embedding === undefined) {
    throw new DomainError('MODEL_SERVER_DOWN', `Ollama does not say the shape of ${model}`);
  }
  return {
    family: shown.data.details?.family || model,
    layers,
    queryHeads,
    kvHeads: number('attention.head_count_kv') ?? queryHeads,
    headSize: number('attention.key_length') ?? Math.ceil(embedding / queryHeads),
    contextTokens: number('context_length') ?? 2048,
  };
}

async function show(baseUrl: string, model: string, timeoutMs: number): Promise<unknown> {
  try {
    const response = await fetch(`${ollamaRoot(baseUrl)}/api/show`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ model }),
      signal: AbortSignal.timeout(timeoutMs),
    });
    const text = await response.text();
    if (!response.ok) throw modelStatusError(response.status, text);
    return JSON.parse(text);
  } catch (err) {
    throw err instanceof DomainError ? err : modelConnectionError(err);
  }
}
