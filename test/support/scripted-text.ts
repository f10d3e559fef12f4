import type { GenerateRequest, Generation, TextModel, Watch } from '../../integrations/inference/inference.ts';

type Generate = TextModel['generate'];

/** A text model that writes what a test tells it to, word by word. */
export function createScriptedText(otherwise = 'I remember the boats [m1].') {
  const calls: GenerateRequest[] = [];
  let script: Generate = writes(otherwise);
  return {
    calls,
    generate(request: GenerateRequest, watch: Watch): Promise<Generation> {
      calls.push(request);
      return script(request, watch);
    },
    /** From the next call on; without a script it writes as at first. */
    answer(next: Generate = writes(otherwise)): void {
      script = next;
    },
  } satisfies TextModel & Record<string, unknown>;
}

export function writes(text: string, finishReason = 'stop'): Generate {
  return (_request, watch) => {
    const words = text.match(/\S+\s*/g) ?? [];
    for (const [i, word] of words.entries()) {
      watch.onProgress({ phase: 'token', tokens: i + 1 });
      watch.onText?.(word);
    }
    return Promise.resolve({ text, tokens: words.length, finishReason });
  };
}

/** Calls that write their first words and then stay in hand, with tokens coming, until the test lets go of them. */
export function textsInHand(text: string) {
  const gone = Promise.withResolvers<void>();
  let inHand = 0;
  const generate: Generate = async (request, watch) => {
    inHand += 1;
    watch.onText?.('It begins');
    const beat = setInterval(() => watch.onProgress({ phase: 'token', tokens: 2 }), 100);
    try {
      await Promise.race([
        gone.promise,
        new Promise((_resolve, reject) => {
          watch.signal.addEventListener('abort', () => reject(watch.signal.reason as Error), { once: true });
        }),
      ]);
    } finally {
      clearInterval(beat);
      inHand -= 1;
    }
    return writes(text)(request, { ...watch, onText: () => undefined });
  };
  return { generate, letGo: () => gone.resolve(), count: () => inHand };
}
