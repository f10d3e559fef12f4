import { type ComposeDeps, createComposePersona } from './compose-persona.ts';
import { createJudge, type JudgeDeps } from './judge.ts';
import { createOnMachine, type MachineCallDeps } from './machine-calls.ts';
import { createReflect, type ReflectDeps } from './reflect.ts';

export type InferenceDeps = MachineCallDeps & ReflectDeps & ComposeDeps & JudgeDeps;

/** What inference queues run: every activity here calls a model of the machine it runs on. */
export function createInferenceActivities(deps: InferenceDeps) {
  const onMachine = createOnMachine(deps);
  return {
    reflect: createReflect(deps, onMachine),
    judge: createJudge(deps, onMachine),
    ...createComposePersona(deps, onMachine),
  };
}
export type InferenceActivities = ReturnType<typeof createInferenceActivities>;
