import { createAddressFilter, withoutStrangeAddresses } from '../../domain/addresses.ts';
import { withoutUnseen } from '../../domain/clean-text.ts';
import {
  type AnswerOutcome,
  answerMaxTokens,
  type AnswerQuestion,
  cleanedAnswer,
  createThoughtFilter,
  resolveCitations,
} from '../../domain/conversations.ts';
import { DomainError } from '../../domain/errors.ts';
import { talkPrompt } from '../../domain/prompts/fit-talk.ts';
import { talkVersion } from '../../domain/prompts/versions.ts';
import type { TextModel, Watch } from './inference.ts';

export interface AnswerRequest extends AnswerQuestion {
  /** What the model server calls the model. */
  model: string;
  contextTokens: number;
  seed: number;
}

/**
 * Has a model answer one message. `watch.onText` is told the answer as it is written; what it cites is known at the end. In
 * both nothing is hidden, and no address stands that the model was not shown.
 * @throws MODEL_REFUSED where the message alone is over the context, MODEL_OUTPUT_INVALID for an empty answer
 */
export async function answerByModel(
  model: TextModel,
  { model: servedAs, contextTokens, seed, ...question }: AnswerRequest,
  watch: Watch,
): Promise<AnswerOutcome> {
  const maxTokens = answerMaxTokens(contextTokens);
  const prompt = talkPrompt({ ...question, contextTokens, maxTokens });
  if (!prompt) {
    throw new DomainError('MODEL_REFUSED', `the message is too long for the context of ${contextTokens} tokens`);
  }
  const shown = textsOf(question);
  const thoughts = createThoughtFilter();
  const addresses = createAddressFilter(shown);
  const visible = createUnseenFilter();
  const tell = (piece: string) => {
    if (piece !== '') watch.onText?.(piece);
  };
  const generation = await model.generate(
    { model: servedAs, messages: prompt.messages, maxTokens, contextTokens, seed },
    { ...watch, onText: (piece) => tell(addresses.pass(visible(thoughts.pass(piece)))) },
  );
  tell(addresses.pass(visible(thoughts.end())) + addresses.end());
  const whole = createThoughtFilter();
  const answer = cleanedAnswer(whole.pass(generation.text) + whole.end());
  const { text, citations } = resolveCitations(withoutStrangeAddresses(answer, shown), prompt.aliases);
  if (text === '') throw new DomainError('MODEL_OUTPUT_INVALID', 'the model answered with no text');
  return {
    source: 'model',
    text,
    citations,
    tokens: generation.tokens,
    ...(generation.promptTokens === undefined ? {} : { promptTokens: generation.promptTokens }),
    promptVersion: talkVersion,
    seed,
    cut: generation.finishReason === 'length',
  };
}

/** As withoutUnseen, piece by piece: half of a character waits for its other half, since only together are they seen to be a mark. */
function createUnseenFilter(): (piece: string) => string {
  let half = '';
  return (piece) => {
    const text = half + piece;
    [half = ''] = /[\uD800-\uDBFF]$/.exec(text) ?? [];
    return withoutUnseen(text.slice(0, text.length - half.length));
  };
}

/** Whose addresses an answer may repeat: what was said, what is remembered, and who the agent is. */
function textsOf({ agent, text, turns, memories }: AnswerQuestion): string[] {
  return [
    agent.persona,
    text,
    ...turns.flatMap((turn) => [turn.text, turn.answer]),
    ...memories.map((memory) => memory.text),
  ];
}
