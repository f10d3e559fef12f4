import { type AnswerInviteDeps, createAnswerInvite } from './answer-invite.ts';
import { type ComposeDeps, createComposePersona } from './compose-persona.ts';
import { createDecideVote, type DecideVoteDeps } from './decide-vote.ts';
import { type ComposeDropDeps, createComposeDrop } from './compose-drop.ts';
import { createJudge, type JudgeDeps } from './judge.ts';
import { createOnMachine, type MachineCallDeps } from './machine-calls.ts';
import { createReflect, type ReflectDeps } from './reflect.ts';

export type InferenceDeps = MachineCallDeps &
  ReflectDeps &
  ComposeDeps &
  ComposeDropDeps &
  JudgeDeps &
  AnswerInviteDeps &
  DecideVoteDeps;

/** What inference queues run: every activity here calls a model of the machine it runs on. */
export function createInferenceActivities(deps: InferenceDeps) {
  const onMachine = createOnMachine(deps);
  return {
    reflect: createReflect(deps, onMachine),
    judge: createJudge(deps, onMachine),
    decideVote: createDecideVote(deps, onMachine),
    answerInvite: createAnswerInvite(deps, onMachine),
    ...createComposePersona(deps, onMachine),
    composeDrop: createComposeDrop(deps, onMachine),
  };
}
export type InferenceActivities = ReturnType<typeof createInferenceActivities>;
