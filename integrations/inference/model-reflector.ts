import { DomainError } from '../../domain/errors.ts';
import { reflectionPrompt, reflectPromptVersion, resolveAliases } from '../../domain/prompts/reflect.ts';
import { acceptInsights, reflectionOutputSchema } from '../../domain/reflections.ts';
import type { Inference, ModelServerOptions, TextModel } from './inference.ts';
import { createOllamaModel } from './ollama.ts';
import { createOpenAiModel } from './openai.ts';
import { generateStructured } from './structured.ts';

/** The text model behind a model server of any kind. */
export function createTextModel(options: ModelServerOptions): TextModel {
  return options.kind === 'ollama' ? createOllamaModel(options) : createOpenAiModel(options);
}

/** Reflects by asking a model; evidence comes back as memory ids. */
export function createModelReflector(model: TextModel): Inference {
  return {
    source: 'model',
    async reflect(request, watch) {
      const prompt = reflectionPrompt(request);
      if (prompt.used.length === 0) {
        throw new DomainError(
          'MODEL_REFUSED',
          `none of ${request.memories.length} memories fits the context of ${request.contextTokens} tokens`,
        );
      }
      const { value, ...generation } = await generateStructured(
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
        reflectionOutputSchema,
        watch,
      );
      const { accepted, refused } = acceptInsights(resolveAliases(value, prompt.aliases), prompt.used);
      return {
        source: 'model',
        insights: accepted,
        refused,
        used: prompt.used,
        left: prompt.left,
        promptVersion: reflectPromptVersion,
        ...generation,
      };
    },
  };
}
