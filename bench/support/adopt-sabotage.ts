import type { Edit, Protection } from './sabotage.ts';

/** What each figure leans on, as it stands in the sources of workers. */
export const adoptSabotages: Partial<Record<Protection, Edit[]>> = {
  // A command is known by its step, whichever worker asks for it: steps_twice.
  idempotency: [
    {
      file: 'integrations/host/commands-once.ts',
      from: 'const place = join(folder, key);',
      to: 'const place = join(folder, `${key}-${process.pid}`);',
    },
  ],
  // Branches are taken back: rollback_equal.
  compensation: [
    {
      file: 'activities/rollouts.ts',
      from: 'await dropBranch(repository, branch, signal);',
      to: 'await Promise.resolve(branch);',
    },
  ],
  // What was begun and lost is asked for again: gateway_lost.
  retry: [{ file: 'workflows/inference-ladder.ts', from: 'const mostTries = 60;', to: 'const mostTries = 1;' }],
};
