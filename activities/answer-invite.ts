import { answerStep, type AgentAnswer } from '../domain/invites.ts';
import { inviteAnswerSchema, inviteMaxTokens, invitePrompt } from '../domain/prompts/fit-invite.ts';
import { inviteVersion } from '../domain/prompts/versions.ts';
import { seedOf } from '../domain/random.ts';
import { generateStructured } from '../integrations/inference/structured.ts';
import type { InviteStore } from '../stores/invite-clock.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { OnMachineFrame } from './machine-calls.ts';

export interface AnswerInviteDeps {
  invites: Pick<InviteStore, 'invited'>;
  steps: StepResultStore;
}

export interface AnswerInviteInput {
  inviteId: string;
  modelId: string;
  queue: string;
}

/** none: this machine cannot answer for the agent, however often it is asked. */
export type AnsweredInvite = { kind: 'answered' } | { kind: 'none'; reason: string };

/**
 * What an agent answers to an invitation, by its own model and persona; stored under the machine's epoch, and a second execution
 * finds it. Where no model is there, nobody guesses for it: the extractive default quotes memories, and a quotation is no decision.
 */
export function createAnswerInvite({ invites, steps }: AnswerInviteDeps, onMachine: OnMachineFrame) {
  return async function answerInvite({ inviteId, modelId, queue }: AnswerInviteInput): Promise<AnsweredInvite> {
    const key = { workId: inviteId, step: answerStep };
    if (await steps.read<AgentAnswer>(key)) return { kind: 'answered' };
    const invited = await invites.invited(inviteId);
    if (!invited) return { kind: 'none', reason: 'it is asked no more' };
    const spends = () => ({
      key: `${inviteId}/${answerStep}`,
      agentId: invited.agent.id,
      most: 2 * inviteMaxTokens,
    });
    return onMachine({ modelId, queue, spends }, async ({ held, call, watch, wrote }) => {
      if (!call.text) return { kind: 'none', reason: `${held.machineId} has no model in place of ${modelId}` };
      const contextTokens = call.variant.model.context.reflect;
      const prompt = invitePrompt({ ...invited, contextTokens });
      if (!prompt) return { kind: 'none', reason: `the invitation is over the context of ${contextTokens} tokens` };
      const { value, tokens } = await generateStructured(
        call.text,
        { ...prompt, model: call.servedAs, maxTokens: inviteMaxTokens, contextTokens, seed: seedOf(inviteId) },
        inviteAnswerSchema,
        watch,
      );
      wrote(tokens);
      const { answer, reason } = value;
      const result: AgentAnswer = { accepts: answer === 'yes', reason, modelId, promptVersion: inviteVersion, tokens };
      await steps.store(key, held, result);
      return { kind: 'answered' };
    });
  };
}
