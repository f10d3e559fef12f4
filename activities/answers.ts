import { answerMaxTokens, type AnswerOutcome, seedOf } from '../domain/conversations.ts';
import type { ModelVariant } from '../domain/fleet.ts';
import { DomainError } from '../domain/errors.ts';
import { extractiveAnswer } from '../domain/extractive-answer.ts';
import { answerStep } from '../domain/messages.ts';
import { ending } from '../domain/validity.ts';
import { answerByModel } from '../integrations/inference/model-answerer.ts';
import type { MemorySearch } from '../stores/memory-search.ts';
import type { AnswerStep, MessageStore } from '../stores/messages.ts';
import type { RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { FleetReader } from './fleet-view.ts';
import { createOnMachine, type MachineCallDeps } from './machine-calls.ts';

/** Where an answer's text goes while it is written; nothing of it is needed for the answer itself. */
export interface AnswerStream {
  /** A new attempt: what earlier ones wrote is void. */
  begin(at: { messageId: string; attempt: number; machineId: string }): {
    write(piece: string): void;
    /** What has not been sent yet is sent now. */
    end(): Promise<void>;
  };
}

export interface AnswerDeps extends MachineCallDeps {
  messages: MessageStore;
  runs: Pick<RunStore, 'reflectingAgent'>;
  steps: StepResultStore;
  memorySearch: MemorySearch;
  stream: AnswerStream;
  fleet: FleetReader;
}

export interface AnswerInput {
  messageId: string;
  modelId: string;
  /** The model's talk queue. */
  queue: string;
  /** How many times the message has asked a machine, this one included. */
  attempt: number;
}

/** What talk queues run beside all else that inference queues do. */
export function createAnswerActivities(deps: AnswerDeps) {
  const { messages, runs, steps, memorySearch, stream, fleet } = deps;
  const onMachine = createOnMachine(deps);

  /** What the agent is asked, what was said before, and what comes to its mind. */
  async function recall(messageId: string, signal: AbortSignal) {
    const message = await messages.open(messageId);
    if (!message) throw new DomainError('CONFLICT', `message ${messageId} has ended`);
    const { ownerId, agentId, text, author, authorId: askedBy } = message;
    const limit = (await fleet()).fleet.talk.memories;
    const [agent, { turns, memoryIds }] = await Promise.all([runs.reflectingAgent(agentId), messages.turns(message)]);
    const now = new Date();
    const { found } = await memorySearch.search(
      // As many more as the conversation itself has left behind: it is shown as such.
      { ownerId, agentId, text, limit: limit + memoryIds.length, now, used: true },
      signal,
    );
    const shown = new Set(memoryIds);
    const memories = found
      .filter(({ id }) => !shown.has(id))
      .slice(0, limit)
      .map((memory) => ({ ...memory, ...ending(memory, now) }));
    return {
      agentId,
      askedBy,
      agent,
      author,
      text,
      turns,
      memories,
      shown: [...memoryIds, ...memories.map(({ id }) => id)],
    };
  }

  return {
    /** One answer, stored under the machine's epoch. A second execution finds the result. */
    async answer({ messageId, modelId, queue, attempt }: AnswerInput): Promise<{ tokens: number }> {
      const key = { workId: messageId, step: answerStep };
      const standing = await steps.read<AnswerStep>(key);
      if (standing) return { tokens: standing.tokens };
      let question: Awaited<ReturnType<typeof recall>>;
      const before = async (signal: AbortSignal) => {
        question = await recall(messageId, signal);
      };
      const spends = ({ model }: ModelVariant) => ({
        key: `${messageId}/${answerStep}`,
        agentId: question.agentId,
        askedBy: question.askedBy,
        most: answerMaxTokens(model.context.talk),
      });
      return onMachine({ modelId, queue, before, spends }, async ({ held, call, watch, seconds, wrote }) => {
        const { machineId } = held;
        await messages.working(messageId, machineId, attempt);
        const writing = stream.begin({ messageId, attempt, machineId });
        let outcome: AnswerOutcome;
        if (call.text) {
          outcome = await answerByModel(
            call.text,
            {
              ...question,
              model: call.servedAs,
              contextTokens: call.variant.model.context.talk,
              seed: seedOf(messageId),
            },
            { ...watch, onText: (piece) => writing.write(piece) },
          );
        } else {
          outcome = extractiveAnswer(question);
          watch.onProgress({ phase: 'token', tokens: outcome.tokens });
          writing.write(outcome.text);
        }
        wrote(outcome.tokens);
        await writing.end();
        const { shown } = question;
        const stored = await steps.store<AnswerStep>(key, held, {
          ...outcome,
          modelId,
          machineId,
          seconds: seconds(),
          shown,
        });
        return { tokens: stored.tokens };
      });
    },
  };
}
export type AnswerActivities = ReturnType<typeof createAnswerActivities>;
