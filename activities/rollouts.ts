import { homedir } from 'node:os';
import { Context } from '@temporalio/activity';
import { DomainError } from '../domain/errors.ts';
import { generatedFiles } from '../domain/generated-files.ts';
import { assessAll } from '../domain/readiness-assessors.ts';
import { reportOf } from '../domain/readiness-reports.ts';
import type { NextMoves, RolloutMove, StepOutcome } from '../domain/rollout-moves.ts';
import type { GeneratedKind } from '../domain/rollouts.ts';
import type { TrustFile } from '../domain/service-trust.ts';
import type { RolloutState, RolloutStepState } from '../domain/states.ts';
import { runOnce } from '../integrations/host/commands-once.ts';
import { type BranchChange, commitOnBranch, dropBranch } from '../integrations/repositories/branches.ts';
import type { ReadinessStore } from '../stores/readiness.ts';
import type { RolloutAssessmentStore } from '../stores/rollout-assessments.ts';
import type { RolloutUnitKey } from '../stores/rollout-rows.ts';
import type { RolloutStore } from '../stores/rollout-steps.ts';
import { beating } from './beating.ts';
import type { FleetReader } from './fleet-view.ts';
import type { InventoryReading } from './readiness.ts';

type Step = Extract<RolloutMove, { kind: 'step' }>;
interface PackageRef {
  rolloutId: string;
  packageId: string;
  attempt: number;
}

/** Steps of a rollout that are of Postgres alone. */
export function createRolloutActivities({
  rollouts,
  rolloutAssessments,
}: {
  rollouts: RolloutStore;
  rolloutAssessments: RolloutAssessmentStore;
}) {
  return {
    nextRolloutMoves: ({
      rolloutId,
    }: {
      rolloutId: string;
    }): Promise<NextMoves & { state: RolloutState; told?: string[] }> => rollouts.next(rolloutId),

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

    beginRolloutUndo: ({ rolloutId, ...of }: PackageRef): Promise<void> => rollouts.beginUndo(rolloutId, of),

    /** @returns the run of readiness that a package's rules are judged by; undefined: it is not verified any more */
    openRolloutAssessment: ({
      rolloutId,
      ...of
    }: PackageRef): Promise<{ runId: string; machineId: string | null; isDone: boolean } | undefined> =>
      rolloutAssessments.open(rolloutId, of),

    /** @returns whether its rules hold; again: nobody can tell yet; over: it is not verified any more */
    judgeRolloutAssessment: ({ rolloutId, ...of }: PackageRef): Promise<'clean' | 'again' | 'over'> =>
      rolloutAssessments.judge(rolloutId, of),

    /** @returns whether there is more to look at */
    async lookAtRollout({ rolloutId, ...of }: PackageRef): Promise<boolean> {
      const { ownerId } = await rollouts.find(rolloutId);
      return rollouts.noteLook(rolloutId, of, await rollouts.unwell(ownerId));
    },
  };
}
export type RolloutActivities = ReturnType<typeof createRolloutActivities>;

export interface RolloutMachineDeps {
  machineId: string;
  rollouts: RolloutStore;
  rolloutAssessments: RolloutAssessmentStore;
  readiness: ReadinessStore;
  fleet: FleetReader;
  /** Of repositories that this machine lets rollouts write to. */
  readInventory: InventoryReading;
  /** What this machine lets others do; only its own file says so. @throws where that cannot be read */
  trusted: () => Pick<TrustFile, 'commands' | 'repositories'>;
  /** Where the words of commands that ran are kept. */
  folder: string;
}

/** Steps of a rollout on the machine that they are of. */
export function createRolloutMachineActivities({
  machineId,
  rollouts,
  rolloutAssessments,
  readiness,
  fleet,
  readInventory,
  trusted,
  folder,
}: RolloutMachineDeps) {
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
      const repository = file.repository?.path ?? '';
      const { step } = move;
      const inRepository = step.kind === 'patch' || step.kind === 'generate' || step.kind === 'drop_branch';
      if (inRepository && !trusted().repositories.includes(repository))
        return {
          state: 'failed',
          refused: true,
          reason: `${machineId} lets nobody write branches to ${repository}; add it to repositories of its trust file`,
        };
      return beating(async () => {
        switch (step.kind) {
          case 'patch':
            return committed({ diff: step.diff, edits: step.edits });
          case 'generate': {
            const made = await generate(rolloutId, repository, step.what);
            return 'refused' in made
              ? { state: 'failed', reason: made.refused }
              : committed({ files: made.files }, [...made.files.keys()]);
          }
          case 'drop_branch':
            await dropBranch(repository, branch, signal);
            return { state: 'done', result: { branch } };
          case 'command':
            return command(step, key, signal);
          default:
            throw new DomainError('INTERNAL', `${step.kind} is no step of a machine`);
        }
      });

      async function committed(
        change: Pick<BranchChange, 'diff' | 'edits' | 'files'>,
        files?: readonly string[],
      ): Promise<StepOutcome> {
        const title = file.workPackages.find(({ id }) => id === move.packageId)!.title;
        const key = `${rolloutId}/${move.packageId}/${move.attempt}/${move.position}`;
        const subject = `${move.packageId}: ${title}`;
        const commit = await commitOnBranch(repository, { branch, key, subject, madeAt: createdAt, ...change }, signal);
        // Nothing lacks what was to be generated.
        if (commit === undefined) return { state: 'done', result: { branch: null, files: [] } };
        return { state: 'done', result: { branch, commit, ...(files && { files }) } };
      }
    },
  };

  /** Of the working tree as it is now; only the branch is written. */
  async function generate(
    rolloutId: string,
    path: string,
    what: GeneratedKind,
  ): Promise<{ files: Map<string, string> } | { refused: string }> {
    const { ownerId, repository, acceptances, today } = await rolloutAssessments.basis(rolloutId);
    const view = await fleet();
    const known = { services: await readiness.services(ownerId), stops: await readiness.stopTrials(ownerId) };
    const read = await readInventory(
      { ...repository, folder: path },
      view.fleet,
      known,
      Context.current().cancellationSignal,
    );
    if ('refused' in read) return read;
    const { findings } = reportOf(assessAll(read.inventory), { acceptances, today });
    const open = findings.filter(({ accepted }) => accepted === null);
    return { files: generatedFiles(what, { inventory: read.inventory, open }) };
  }

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
        refused: true,
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
