import { voteParser, type VoteStep } from '../domain/ballot-answers.ts';
import { ballotStep } from '../domain/ballots.ts';
import { DomainError } from '../domain/errors.ts';
import { votePrompt, voteMaxTokens } from '../domain/prompts/fit-vote.ts';
import { voteVersion } from '../domain/prompts/versions.ts';
import { callSeed } from '../domain/reflection-calls.ts';
import { ending } from '../domain/validity.ts';
import { generateStructured } from '../integrations/inference/structured.ts';
import type { MemorySearch } from '../stores/memory-search.ts';
import type { RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { AskedBallot, VoterStore } from '../stores/voters.ts';
import type { OnMachineFrame } from './machine-calls.ts';

export interface DecideVoteDeps {
  voters: Pick<VoterStore, 'asked'>;
  runs: Pick<RunStore, 'reflectingAgent'>;
  steps: StepResultStore;
  memorySearch: MemorySearch;
}

export interface DecideVoteInput {
  ballotId: string;
  agentId: string;
  modelId: string;
  queue: string;
}

/** `none`: this machine has no mind of its own to vote with, however often it is asked. */
export type DecidedVote = { kind: 'decided' } | { kind: 'none'; reason: string };

/** Memories looked up for a vote; as many as fit are shown. */
const recalled = 12;

/** An agent's vote from its persona and what it remembers, stored under the machine's epoch. A second execution finds it. */
export function createDecideVote({ voters, runs, steps, memorySearch }: DecideVoteDeps, onMachine: OnMachineFrame) {
  async function recall({ ownerId, title, text, options }: AskedBallot, agentId: string, signal: AbortSignal) {
    const now = new Date();
    const about = [title, text, ...options].join('\n');
    const { found } = await memorySearch.search(
      { ownerId, agentId, text: about, limit: recalled, now, used: true },
      signal,
    );
    return found.map((memory) => ({ ...memory, ...ending(memory, now) }));
  }

  return async function decideVote({ ballotId, agentId, modelId, queue }: DecideVoteInput): Promise<DecidedVote> {
    const step = ballotStep(agentId);
    const key = { workId: ballotId, step };
    if (await steps.read<VoteStep>(key)) return { kind: 'decided' };
    let ballot: AskedBallot;
    let memories: Awaited<ReturnType<typeof recall>>;
    const before = async (signal: AbortSignal) => {
      const asked = await voters.asked(ballotId, agentId);
      if (!asked) throw new DomainError('CONFLICT', `${ballotId} asks ${agentId} no more`);
      ballot = asked;
      memories = await recall(asked, agentId, signal);
    };
    const spends = () => ({ key: `${ballotId}/${step}`, agentId, most: 2 * voteMaxTokens });
    return onMachine({ modelId, queue, before, spends }, async ({ held, call, watch, wrote }) => {
      if (!call.text) return { kind: 'none', reason: `${held.machineId} has no model in place of ${modelId}` };
      const agent = await runs.reflectingAgent(agentId);
      const contextTokens = call.variant.model.context.reflect;
      const prompt = votePrompt({ ...ballot, agent, memories, contextTokens });
      if (!prompt) return { kind: 'none', reason: `the proposal is over the context of ${contextTokens} tokens` };
      const { method, options } = ballot;
      const { value, tokens } = await generateStructured(
        call.text,
        {
          model: call.servedAs,
          messages: prompt.messages,
          maxTokens: voteMaxTokens,
          contextTokens,
          seed: callSeed(ballotId, step),
          schemaName: 'vote',
          jsonSchema: prompt.jsonSchema,
        },
        voteParser(method, options.length, prompt.aliases),
        watch,
      );
      wrote(tokens);
      const { machineId } = held;
      await steps.store<VoteStep>(key, held, { ...value, tokens, modelId, machineId, promptVersion: voteVersion });
      return { kind: 'decided' };
    });
  };
}
