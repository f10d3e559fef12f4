import type { Inference, ReflectRequest, Watch } from '../../integrations/inference/inference.ts';
import { createExtractiveReflector } from '../../integrations/inference/extractive.ts';
import { createModelReflector } from '../../integrations/inference/model-reflector.ts';

type Reflect = Inference['reflect'];

export interface ScriptedCall {
  request: ReflectRequest;
  watch: Watch;
}

/** The integration in a model's place: answers as `extractive` does until a test tells it otherwise. */
export function createScriptedInference() {
  const extractive = createExtractiveReflector();
  const asExtractive: Reflect = (request, watch) => extractive.reflect(request, watch);
  const calls: ScriptedCall[] = [];
  let script = asExtractive;
  return {
    source: 'model' as const,
    calls,
    async reflect(request: ReflectRequest, watch: Watch) {
      calls.push({ request, watch });
      return script(request, watch);
    },
    /** From the next call on; without a script `extractive` answers again. */
    answer(next: Reflect = asExtractive): void {
      script = next;
    },
    asExtractive,
  } satisfies Inference & Record<string, unknown>;
}

/** The shipped reflector over a model that writes exactly this. */
export function modelThatWrites(text: string): Reflect {
  const reflector = createModelReflector({
    generate: (_request, watch) => {
      watch.onProgress({ phase: 'token', tokens: 1 });
      return Promise.resolve({ text, tokens: 7, finishReason: 'stop' });
    },
  });
  return (request, watch) => reflector.reflect(request, watch);
}

/** Calls that stay in hand until the test lets go of them, with tokens coming all the while. */
export function callsInHand() {
  const gone = Promise.withResolvers<void>();
  const extractive = createExtractiveReflector();
  let inHand = 0;
  const reflect: Reflect = async (request, watch) => {
    inHand += 1;
    let tokens = 0;
    const beat = setInterval(() => watch.onProgress({ phase: 'token', tokens: (tokens += 1) }), 200);
    try {
      await Promise.race([gone.promise, aborted(watch.signal)]);
    } finally {
      clearInterval(beat);
      inHand -= 1;
    }
    return extractive.reflect(request, watch);
  };
  return { reflect, letGo: () => gone.resolve(), count: () => inHand };
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const leave = () => reject(signal.reason as Error);
    if (signal.aborted) leave();
    else signal.addEventListener('abort', leave, { once: true });
  });
}
