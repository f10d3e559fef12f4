import type { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { byWeight, questionsPrompt, type ReflectPrompt, reflectPrompt } from '../../domain/prompts/fit-reflect.ts';
import { aliasOf } from '../../domain/prompts/records.ts';
import { acceptQuestions, questionsOutputSchema } from '../../domain/reflection-calls.ts';
import {
  acceptInsights,
  type AskedCall,
  type ReflectionOutput,
  reflectionOutputSchema,
} from '../../domain/reflections.ts';
import type { Inference, ModelServerOptions, ReflectRequest, TextModel, Watch } from './inference.ts';
import { createOllamaModel } from './ollama.ts';
import { createOpenAiModel } from './openai.ts';
import { tryStructured } from './structured.ts';

/** The text model behind a model server of any kind. */
export function createTextModel(options: ModelServerOptions): TextModel {
  return options.kind === 'ollama' ? createOllamaModel(options) : createOpenAiModel(options);
}

/** Reflects by asking a model; evidence comes back as memory ids. */
export function createModelReflector(model: TextModel): Inference {
  return {
    source: 'model',
    async questions(request, watch) {
      const prompt = questionsPrompt({ ...request, memories: byWeight(request.memories) });
      const { value, asked } = await ask(model, request, prompt, questionsOutputSchema, watch);
      return { ...asked, questions: acceptQuestions(value?.questions ?? []) };
    },
    async reflect(request, watch) {
      const prompt = reflectPrompt(request);
      const { value, asked } = await ask(model, request, prompt, reflectionOutputSchema, watch);
      const byId = new Map(request.memories.map((memory) => [memory.id, memory]));
      const shown = prompt.used.map((id) => byId.get(id)!);
      return { ...asked, ...acceptInsights(withIds(value ?? { insights: [] }, prompt.used), shown) };
    },
  };
}

async function ask<T>(
  model: TextModel,
  request: ReflectRequest,
  prompt: ReflectPrompt,
  schema: z.ZodType<T>,
  watch: Watch,
): Promise<{ value: T | undefined; asked: AskedCall }> {
  if (prompt.used.length === 0) {
    throw new DomainError(
      'MODEL_REFUSED',
      `none of ${request.memories.length} memories fits the context of ${request.contextTokens} tokens`,
    );
  }
  const { value, ...took } = await tryStructured(
    model,
    {
      model: request.model,
      messages: prompt.messages,
      maxTokens: request.maxTokens,
      contextTokens: request.contextTokens,
      schemaName: prompt.schemaName,
      jsonSchema: prompt.jsonSchema,
      ...(request.seed === undefined ? {} : { seed: request.seed }),
    },
    schema,
    watch,
    request.mostCalls,
  );
  const { version: promptVersion, used, left } = prompt;
  return { value, asked: { source: 'model', promptVersion, used, left, ...took } };
}

/** Puts memory ids in the place of aliases; what is no alias stays, and acceptInsights drops it. */
function withIds(output: ReflectionOutput, used: readonly string[]): ReflectionOutput {
  const ids = new Map(used.map((id, place) => [aliasOf(place), id]));
  return {
    insights: output.insights.map(({ text, evidence }) => ({
      text,
      evidence: evidence.map((alias) => ids.get(alias) ?? `no alias: ${alias}`),
    })),
  };
}
