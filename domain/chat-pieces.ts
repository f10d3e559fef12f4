/** One piece of an answer, as chunks of a stream carry it. */
export interface ChatPiece {
  delta: ChatDelta;
  logprobs?: { content?: unknown[] | null } | null;
}
export interface ChatDelta {
  role?: string;
  content?: string | null;
  /** What a model thought before it answered, by the name that its server gives it. */
  reasoning_content?: string | null;
  reasoning?: string | null;
  refusal?: string | null;
  tool_calls?: ToolCallPiece[];
}
interface ToolCallPiece {
  index: number;
  id?: string;
  type?: string;
  function?: { name?: string; arguments?: string };
}

export interface ChatUsage {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
}

/** A whole answer: what a request without a stream is given. */
export interface ChatAnswer {
  message: { role: 'assistant'; content: string | null } & Omit<ChatDelta, 'role' | 'content'>;
  logprobs: { content: unknown[] } | null;
  finishReason: string;
  usage: ChatUsage;
}

/** Puts pieces together as they come. */
export function createChatAssembly() {
  let content: string | null = null;
  const others: { reasoning_content?: string; reasoning?: string; refusal?: string } = {};
  const calls: ToolCallPiece[] = [];
  let logprobs: unknown[] | null = null;
  return {
    add({ delta, logprobs: some }: ChatPiece): void {
      if (typeof delta.content === 'string') content = (content ?? '') + delta.content;
      for (const field of ['reasoning_content', 'reasoning', 'refusal'] as const) {
        const piece = delta[field];
        if (typeof piece === 'string') others[field] = (others[field] ?? '') + piece;
      }
      for (const piece of delta.tool_calls ?? []) {
        const call = (calls[piece.index] ??= { index: piece.index });
        if (piece.id !== undefined) call.id = piece.id;
        if (piece.type !== undefined) call.type = piece.type;
        const { name = '', arguments: text = '' } = piece.function ?? {};
        call.function = {
          name: (call.function?.name ?? '') + name,
          arguments: (call.function?.arguments ?? '') + text,
        };
      }
      if (some?.content) logprobs = [...(logprobs ?? []), ...some.content];
    },
    end({ finishReason, usage }: Pick<ChatAnswer, 'finishReason' | 'usage'>): ChatAnswer {
      const whole = calls.filter((call) => call !== undefined);
      return {
        message: {
          role: 'assistant',
          content: content ?? (whole.length > 0 ? null : ''),
          ...others,
          ...(whole.length > 0 ? { tool_calls: whole } : {}),
        },
        logprobs: logprobs === null ? null : { content: logprobs },
        finishReason,
        usage,
      };
    },
  };
}

/** Whether a piece says anything: the first chunk of a server names the role alone. */
export function saysSomething({ delta }: ChatPiece): boolean {
  const { content, reasoning, reasoning_content: thought, refusal, tool_calls: calls } = delta;
  return [content, reasoning, thought, refusal].some((text) => (text ?? '') !== '') || (calls ?? []).length > 0;
}

/**
 * What of an answer a reader has not been shown yet, where some or all of its pieces did not reach them.
 * @returns undefined where what they were shown is no beginning of it
 */
export function restOf(answer: ChatAnswer, shown: ChatAnswer['message'] | undefined): ChatDelta | undefined {
  const { message } = answer;
  const rest: ChatDelta = {};
  for (const field of ['reasoning_content', 'reasoning', 'refusal', 'content'] as const) {
    const [whole, part] = [message[field] ?? '', shown?.[field] ?? ''];
    if (!whole.startsWith(part)) return undefined;
    if (whole.length > part.length) rest[field] = whole.slice(part.length);
  }
  const calls = message.tool_calls ?? [];
  const told = shown?.tool_calls ?? [];
  const missing = calls.flatMap((call, index): ToolCallPiece[] => {
    const before = told.find((other) => other.index === call.index);
    const [whole, part] = [call.function?.arguments ?? '', before?.function?.arguments ?? ''];
    if (!before) return [{ ...call, index }];
    return whole.length > part.length ? [{ index: call.index, function: { arguments: whole.slice(part.length) } }] : [];
  });
  return missing.length > 0 ? { ...rest, tool_calls: missing } : rest;
}
