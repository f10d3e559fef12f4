import { voteAnswerSchema } from '../ballot-answers.ts';
import { estimateMessageTokens } from '../token-estimate.ts';
import { jsonSchemaOf } from './answer-schema.ts';
import { firstThatFit, repairReserveTokens } from './budget.ts';
import { asData, type ChatMessage } from './chat.ts';
import { aliasOf } from './records.ts';
import { talk2Memory } from './talk-2.ts';
import { vote1, type VotePromptInput } from './vote-1.ts';

/** Output tokens of a vote: a reason of two sentences, numbers and ids. */
export const voteMaxTokens = 256;
/** Of what is left beside the proposal, remarks may take this share; the rest is the memories'. */
const remarkShare = 0.4;

export interface VotePrompt {
  messages: ChatMessage[];
  jsonSchema: Record<string, unknown>;
  /** Alias (`m1`) to memory id. */
  aliases: Record<string, string>;
}

/** The prompt with as many of the last remarks and best memories as fit; undefined where the proposal alone does not. */
export function votePrompt({
  contextTokens,
  ...input
}: VotePromptInput & { contextTokens: number }): VotePrompt | undefined {
  const frame = estimateMessageTokens(vote1({ ...input, remarks: [], memories: [] }));
  const room = contextTokens - voteMaxTokens - repairReserveTokens - frame;
  if (room < 0) return undefined;
  const remarks = firstThatFit(input.remarks.toReversed(), room * remarkShare, (remark) => asData(remark)).toReversed();
  const withRemarks = estimateMessageTokens(vote1({ ...input, remarks, memories: [] }));
  const longest = aliasOf(input.memories.length);
  const memories = firstThatFit(input.memories, room - (withRemarks - frame), (memory) => talk2Memory(longest, memory));
  const aliases = Object.fromEntries(memories.map(({ id }, place) => [aliasOf(place), id]));
  return {
    messages: vote1({ ...input, remarks, memories }),
    jsonSchema: jsonSchemaOf(voteAnswerSchema(input.method, input.options.length, Object.keys(aliases))),
    aliases,
  };
}
