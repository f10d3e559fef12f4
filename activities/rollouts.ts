import { homedir } from 'node:os';
import { Context } from '@temporalio/activity';
import { DomainError } from '../domain/errors.ts';
import type { NextMoves, RolloutMove, StepOutcome } from '../domain/rollout-moves.ts';
import type { TrustFile } from '../domain/service-trust.ts';
import type { RolloutState, RolloutStepState } from '../domain/states.ts';
import { runOnce } from '../integrations/host/commands-once.ts';
import { commitOnBranch, dropBranch } from '../integrations/repositories/branches.ts';
import type { RolloutUnitKey } from '../stores/rollout-rows.ts';
import type { RolloutStore } from '../stores/rollout-steps.ts';
import { beating } from './beating.ts';

type Step = Extract<RolloutMove, { kind: 'step' }>;

/** Steps of a rollout that are of Postgres alone. */
export function createRolloutActivities({ rollouts }: { rollouts: RolloutStore }) {
  return {
    nextRolloutMoves: ({ rolloutId }: { rolloutId: string }): Promise<NextMoves & { state: RolloutState }> =>
      rollouts.next(rolloutId),

    /** @returns key: names this step among all that were ever begun; wanted: the rollout goes on */
    beginRolloutStep: ({
      rolloutId,
      move,
    }: {
      rolloutId: string;
      move: Step;
    }): Promise<{ state: RolloutStepState; key: string; wanted: boolean } | undefined> =>
      rollouts.beginStep(rolloutId, move),

    endRolloutStep: ({
      rolloutId,
      unit,
      outcome,
    }: {
      rolloutId: string;
      unit: RolloutUnitKey & { key: string };
      outcome: StepOutcome;
    }): Promise<void> => rollouts.endStep(rolloutId, unit, outcome),

    /** Asks for the services of a machine to be started anew: once, whoever asks again. */
    deployServices: ({ rolloutId, move }: { rolloutId: string; move: Step }): Promise<void> => {
      if (move.step.kind !== 'deploy') throw new DomainError('INTERNAL', `${move.step.kind} deploys nothing`);
      return rollouts.deploy(rolloutId, move, move.step.services);
    },

    /** @returns what it came to; undefined: it is under way */
    deploymentOutcome: ({
      rolloutId,
      unit,
    }: {
      rolloutId: string;
      unit: RolloutUnitKey;
    }): Promise<StepOutcome | undefined> => rollouts.deployment(rolloutId, unit),

    beginRolloutUndo: ({
      rolloutId,
      ...of
    }: {
      rolloutId: string;
      packageId: string;
      attempt: number;
    }): Promise<void> => rollouts.beginUndo(rolloutId, of),

    /** @returns whether there is more to look at */
    async lookAtRollout({
      rolloutId,
      ...of
    }: {
      rolloutId: string;
      packageId: string;
      attempt: number;
    }): Promise<boolean> {
      const { ownerId } = await rollouts.find(rolloutId);
      return rollouts.noteLook(rolloutId, of, await rollouts.unwell(ownerId));
    },
  };
}
export type RolloutActivities = ReturnType<typeof createRolloutActivities>;

export interface RolloutMachineDeps {
  machineId: string;
  rollouts: RolloutStore;
  /** What this machine lets others do; only its own file says so. @throws where that cannot be read */
  trusted: () => Pick<TrustFile, 'commands' | 'repositories'>;
  /** Where the words of commands that ran are kept. */
  folder: string;
}

/** Steps of a rollout on the machine that they are of. */
export function createRolloutMachineActivities({ machineId, rollouts, trusted, folder }: RolloutMachineDeps) {
  return {
    /** Does a step, or finds that it was done: any number of times. */
    async doRolloutStep({
      rolloutId,
      key,
      move,
    }: {
      rolloutId: string;
      key: string;
      move: Step;
    }): Promise<StepOutcome> {
      const { file, createdAt } = await rollouts.find(rolloutId);
      const signal = Context.current().cancellationSignal;
      const branch = `soulfra/${rolloutId}/${move.packageId}`;
      const { step } = move;
      return beating(async () => {
        switch (step.kind) {
          case 'patch': {
            const title = file.workPackages.find(({ id }) => id === move.packageId)!.title;
            const commit = await commitOnBranch(
              repository(),
              {
                branch,
                key: `${rolloutId}/${move.packageId}/${move.attempt}/${move.position}`,
                subject: `${move.packageId}: ${title}`,
                madeAt: createdAt,
                diff: step.diff,
                edits: step.edits,
              },
              signal,
            );
            return { state: 'done', result: { branch, commit } };
          }
          case 'drop_branch':
            await dropBranch(repository(), branch, signal);
            return { state: 'done', result: { branch } };
          case 'command':
            return command(step, key, signal);
          default:
            throw new DomainError('INTERNAL', `${step.kind} is no step of a machine`);
        }
      });

      function repository(): string {
        const path = file.repository!.path;
        if (trusted().repositories.includes(path)) return path;
        throw new DomainError(
          'FORBIDDEN',
          `${machineId} lets nobody write branches to ${path}; add it to repositories of its trust file`,
        );
      }
    },
  };

  async function command(
    { command: words, timeoutMinutes }: Extract<Step['step'], { kind: 'command' }>,
    key: string,
    signal: AbortSignal,
  ): Promise<StepOutcome> {
    const known = trusted().commands.some(
      ({ command: other }) => other.length === words.length && other.every((word, i) => word === words[i]),
    );
    if (!known)
      return {
        state: 'failed',
        reason: `${machineId} does not trust this command; add it to commands of its trust file`,
      };
    const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], LANG: process.env['LANG'], SOULFRA_STEP: key };
    const ended = await runOnce(
      { folder, key, command: words, workingDirectory: homedir(), env, timeoutMs: timeoutMinutes * 60_000 },
      signal,
    );
    const result = { output: ended.output, ...(ended.kind === 'ended' ? { status: ended.status } : {}) };
    if (ended.kind === 'timed_out') return { state: 'failed', reason: `took over ${timeoutMinutes} min`, result };
    if (ended.kind === 'doubtful')
      return {
        state: 'doubtful',
        reason: `it began on ${machineId}, runs no more, and did not say how it ended`,
        result,
      };
    return ended.status === 0
      ? { state: 'done', result }
      : { state: 'failed', reason: `ended with status ${ended.status}`, result };
  }
}
export type RolloutMachineActivities = ReturnType<typeof createRolloutMachineActivities>;
