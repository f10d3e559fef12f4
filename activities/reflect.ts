import { DomainError } from '../domain/errors.ts';
import { byWeight, reflectPrompt } from '../domain/prompts/fit-reflect.ts';
import {
  asksQuestions,
  callSeed,
  callsForStep,
  earlierReflections,
  focusStep,
  mostModelCalls,
  questionLimits,
  questionsStep,
  recalledPerQuestion,
} from '../domain/reflection-calls.ts';
import { type AskedCall, type ReflectableMemory, reflectionMaxTokens } from '../domain/reflections.ts';
import {
  type FocusStep,
  type QuestionsStep,
  type ReflectionStep,
  type ShownMemory,
  whole,
} from '../domain/run-steps.ts';
import { ending } from '../domain/validity.ts';
import type { ModelVariant } from '../domain/fleet.ts';
import type { ReflectRequest, Watch } from '../integrations/inference/inference.ts';
import { type FoundMemory, type MemorySearch } from '../stores/memory-search.ts';
import type { Memory, MemoryStore } from '../stores/memories.ts';
import type { OpenRun, RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { OnMachine, OnMachineFrame } from './machine-calls.ts';

export interface ReflectDeps {
  memories: Pick<MemoryStore, 'between' | 'lastReflections'>;
  memorySearch: Pick<MemorySearch, 'search'>;
  runs: Pick<RunStore, 'openRun' | 'reflectingAgent' | 'working'>;
  steps: StepResultStore;
  /** How deep reflections may rest on reflections: `limits.reflectionDepth` of the fleet. */
  mostDepth: () => number;
}

export interface ReflectInput {
  runId: string;
  step: string;
  modelId: string;
  queue: string;
  /** How many times the run has asked a machine, this one included. */
  attempt: number;
}

/**
 * `toCompare`: insights whose words or vectors have yet to be held against earlier ones.
 * Runs of 0.1.0 answered without it.
 */
export interface ReflectResult {
  tokens: number;
  toCompare?: number;
}

/**
 * One run's reflection: focal questions, what each brings to mind, insights; or one call where little is new. Each call is
 * stored as a step under the machine's epoch before the next begins, so that an attempt on another machine goes on where
 * this one stood. A second execution finds the result.
 */
export function createReflect(
  { memories, memorySearch, runs, steps, mostDepth }: ReflectDeps,
  onMachine: OnMachineFrame,
) {
  return async function reflect({ runId, step, modelId, queue, attempt }: ReflectInput): Promise<ReflectResult> {
    const key = { workId: runId, step };
    const standing = await steps.read<ReflectionStep>(key);
    if (standing) return resultOf(standing);
    const run = await runs.openRun(runId);
    if (!run) throw new DomainError('CONFLICT', `run ${runId} has ended`);
    const { agentId } = run;
    const spends = ({ model }: ModelVariant) => ({
      key: `${runId}/${step}`,
      agentId,
      most: mostModelCalls * reflectionMaxTokens(model.context.reflect),
    });
    return onMachine({ modelId, queue, spends }, async (at) => {
      const [agent, due] = await Promise.all([
        runs.reflectingAgent(run.agentId),
        memories.between(run.agentId, run.fromSeq, run.toSeq),
        runs.working(runId, at.held.machineId, attempt),
      ]);
      const calls = createCalls(run, modelId, agent, at);
      const drawn = due.length === 0 ? whole([], 0) : await draw(run, due, calls);
      at.wrote(calls.written());
      at.took(drawn.tokens);
      return resultOf(await steps.store(key, at.held, drawn));
    });
  };

  async function draw(run: OpenRun, due: readonly Memory[], calls: Calls): Promise<ReflectionStep> {
    const now = new Date();
    const fresh = byWeight(due.map((memory) => reflectable(memory, now)));
    const asked = calls.canAsk && asksQuestions(fresh.length, calls.fit(fresh)) ? await calls.ask(fresh) : undefined;
    if (asked && asked.questions.length > 0) {
      const about: FocusStep[] = [];
      for (const [place, question] of asked.questions.entries()) {
        const spent = [asked, ...about].reduce((sum, { call }) => sum + call.modelCalls, 0);
        const toCome = asked.questions.length - place - 1;
        const focus = await calls.focus(place, callsForStep(spent, toCome), {
          question,
          memories: () => recall(run, question, calls),
        });
        if (focus) about.push(focus);
      }
      return whole([asked, ...about], unread(asked));
    }
    const earlier = calls.canAsk ? await memories.lastReflections(run.agentId, mostDepth(), earlierReflections) : [];
    const spent = asked?.call.modelCalls ?? 0;
    const one = await calls.focus(0, callsForStep(spent, 0), {
      memories: async () => [...fresh, ...earlier.map((memory) => reflectable(memory, now))],
    });
    if (!one) throw new DomainError('MODEL_REFUSED', `none of ${due.length} memories fits the context`);
    const shown = new Set(one.call.prompt.shown.map(({ memoryId }) => memoryId));
    return whole(asked ? [asked, one] : [one], fresh.filter(({ id }) => !shown.has(id)).length);
  }

  /** What a question brings to mind counts as used. Nothing may rest on what lies at the cap, so that is not shown. */
  async function recall(run: OpenRun, question: string, calls: Calls): Promise<Recalled[]> {
    const now = new Date();
    const { found } = await calls.between((signal) =>
      memorySearch.search(
        {
          ownerId: run.ownerId,
          agentId: run.agentId,
          text: question,
          limit: recalledPerQuestion,
          now,
          used: true,
        },
        signal,
      ),
    );
    return found
      .filter(({ depth }) => depth < mostDepth())
      .map((memory) => ({ ...reflectable(memory, now), scored: scoreOf(memory) }));
  }

  /** The calls of this attempt; what an earlier attempt has stored is not asked again. */
  function createCalls(run: OpenRun, modelId: string, agent: ReflectRequest['agent'], at: OnMachine) {
    const { inference, variant, servedAs } = at.call;
    const contextTokens = variant.model.context.reflect;
    const maxTokens = reflectionMaxTokens(contextTokens);
    let written = 0;
    /** Progress of an attempt never goes back: a call counts on from those before it. */
    const watch = (): Watch => {
      const before = written;
      return {
        signal: at.watch.signal,
        onProgress: ({ phase, tokens }) => at.watch.onProgress({ phase, tokens: before + tokens }),
      };
    };
    const requestFor = (step: string, mostCalls: number, about: Pick<ReflectRequest, 'memories' | 'question'>) => ({
      agent,
      model: servedAs,
      contextTokens,
      maxTokens,
      seed: callSeed(run.runId, step),
      mostCalls,
      ...about,
    });

    /** Reads a step, or does and stores it. */
    async function once<Step extends QuestionsStep | FocusStep>(
      step: string,
      work: () => Promise<Step | undefined>,
    ): Promise<Step | undefined> {
      const key = { workId: run.runId, step };
      const standing = await steps.read<Step>(key);
      if (standing) return standing;
      const made = await work();
      if (made === undefined) return undefined;
      written += made.call.tokens;
      return steps.store(key, at.held, made);
    }

    /** One call with what it took; `invalid` stays with it, so that a wrong answer is not asked for a third time. */
    async function timed<Outcome extends AskedCall>(
      step: string,
      request: ReflectRequest,
      ask: (request: ReflectRequest, watch: Watch) => Promise<Outcome>,
    ) {
      const startedAt = performance.now();
      const outcome = await ask(request, watch());
      const { used, left, repair, invalid, source, promptVersion, modelCalls, tokens, promptTokens, ...brought } =
        outcome;
      const given = new Map((request.memories as Recalled[]).map((memory) => [memory.id, memory]));
      const shown = used.map((memoryId): ShownMemory => {
        const { until, scored } = given.get(memoryId) ?? {};
        return { memoryId, ...(until === undefined ? {} : { until }), ...(scored === undefined ? {} : { scored }) };
      });
      return {
        ...brought,
        ...(invalid === undefined ? {} : { invalid }),
        call: {
          step,
          source,
          modelId,
          machineId: at.held.machineId,
          promptVersion,
          seed: source === 'model' ? request.seed! : null,
          modelCalls,
          tokens,
          promptTokens: promptTokens ?? null,
          seconds: (performance.now() - startedAt) / 1000,
          prompt: { agent, question: request.question ?? null, shown, unshown: left.length, repair },
        },
      };
    }

    return {
      canAsk: inference.questions !== undefined,
      between: <Found>(work: (signal: AbortSignal) => Promise<Found>) => at.between(work),
      written: () => written,
      /** Whether one prompt shows them all. */
      fit: (fresh: readonly ReflectableMemory[]) =>
        reflectPrompt({ agent, memories: fresh, contextTokens, maxTokens }).left.length === 0,

      ask: (fresh: readonly ReflectableMemory[]) =>
        once<QuestionsStep>(questionsStep, () =>
          timed(
            questionsStep,
            requestFor(questionsStep, callsForStep(0, questionLimits.count), { memories: fresh }),
            (request, on) => inference.questions!(request, on),
          ),
        ),

      /** @returns undefined where a question brought nothing to mind that fits */
      focus: (
        place: number,
        mostCalls: number,
        about: { question?: string; memories: () => Promise<readonly Recalled[]> },
      ) => {
        const step = focusStep(place);
        return once<FocusStep>(step, async () => {
          const shown = await about.memories();
          const { question } = about;
          const request = requestFor(step, mostCalls, {
            memories: shown,
            ...(question === undefined ? {} : { question }),
          });
          if (at.call.inference.source === 'model' && reflectPrompt(request).used.length === 0) return undefined;
          return timed(step, request, (each, on) => inference.reflect(each, on));
        });
      },
    };
  }
  type Calls = ReturnType<typeof createCalls>;
}

type Recalled = ReflectableMemory & { scored?: ShownMemory['scored'] };
function resultOf(step: ReflectionStep): ReflectResult {
  return { tokens: step.tokens, toCompare: step.insights.length };
}

function reflectable(memory: Memory, now: Date): ReflectableMemory {
  const { id, text, occurredAt, importance, kind } = memory;
  return {
    id,
    text,
    occurredAt,
    importance,
    ...ending(memory, now),
    ...(kind === 'reflection' ? { isReflection: true } : {}),
  };
}

function scoreOf({ score, parts }: FoundMemory): NonNullable<ShownMemory['scored']> {
  return { score, ...parts };
}

/** New memories that the model did not see when it was asked for questions. */
function unread(asked: QuestionsStep): number {
  return asked.call.prompt.unshown;
}
