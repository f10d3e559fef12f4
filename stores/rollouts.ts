import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { rollbackWorkflowId, rolloutWorkflowId } from '../domain/ids.ts';
import type { RolloutFile } from '../domain/rollouts.ts';
import type { DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { insertIntent } from './intents.ts';
import { resolveNotice } from './notices.ts';
import { assessedRepository } from './rollout-assessments.ts';
import {
  anotherUnderWay,
  deleteStep,
  endStep,
  type LockedRollout,
  lockRollout,
  noticeKey,
  packageOf,
  setPackage,
  setState,
} from './rollout-rows.ts';

/** What people ask of rollouts. */

export interface NewRollout {
  id: string;
  ownerId: string;
  file: RolloutFile;
  machines: readonly string[];
  requestHash: Buffer;
  madeBy: string;
}

/** Writes a rollout down and asks for its workflow. @returns false where it was there already @throws CONFLICT */
export async function beginRollout(tx: DatabaseTransaction, rollout: NewRollout): Promise<boolean> {
  const { file, machines, ...row } = rollout;
  const ruled = file.workPackages.find(({ verify }) => verify.rules.length > 0);
  if (ruled !== undefined && (await assessedRepository(tx, rollout)) === undefined)
    throw new DomainError(
      'CONFLICT',
      `the rules of ${ruled.id} cannot be verified: nothing was assessed yet; run \`soulfra readiness PATH --on MACHINE\`, or name the repository in the file`,
    );
  const inserted = await tx
    .insertInto('rollouts')
    .values({ ...row, file: JSON.stringify(file), machines: [...machines] })
    .onConflict((conflict) => conflict.doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted === undefined) {
    const known = await tx
      .selectFrom('rollouts')
      .select(['ownerId', 'requestHash'])
      .where('id', '=', rollout.id)
      .executeTakeFirst();
    if (known === undefined) throw new DomainError('CONFLICT', anotherUnderWay);
    if (known.ownerId === rollout.ownerId && known.requestHash.equals(rollout.requestHash)) return false;
    throw new DomainError('CONFLICT', 'this Idempotency-Key came with other content');
  }
  await tx
    .insertInto('rolloutPackages')
    .values(file.workPackages.map(({ id }, position) => ({ rolloutId: rollout.id, packageId: id, position })))
    .execute();
  await askForWorkflow(tx, rollout.id);
  const data = { packages: file.workPackages.length };
  await appendEvents(tx, [{ ownerId: rollout.ownerId, type: 'rollout.begun', subject: rollout.id, data }]);
  return true;
}

const askForWorkflow = (tx: DatabaseTransaction, rolloutId: string, workflowId = rolloutWorkflowId(rolloutId)) =>
  insertIntent(tx, { workflowId, type: 'rollOut', args: [{ rolloutId }] });

export const rolloutActs = ['pause', 'resume', 'rollback'] as const;
export type RolloutAct = (typeof rolloutActs)[number];

/** What a person asks of a rollout; asked twice it is done once. @throws NOT_FOUND · CONFLICT */
export async function actOnRollout(
  tx: DatabaseTransaction,
  ownerId: string,
  id: string,
  act: RolloutAct,
): Promise<void> {
  const rollout = await lockRollout(tx, id, ownerId);
  const { state } = rollout;
  const refuse = (why: string) => new DomainError('CONFLICT', `${id} is ${state}; ${why}`);
  if (act === 'pause') {
    if (state === 'paused') return;
    if (state !== 'running' && state !== 'held') throw refuse('only what runs is paused');
    return setState(tx, rollout, 'paused', '');
  }
  if (act === 'resume') {
    if (state === 'running') return;
    if (state !== 'paused' && state !== 'held') throw refuse('only what is paused or held goes on');
    for (const { id: packageId, state: at } of rollout.packages)
      if (at === 'failed' || at === 'stuck') await again(tx, rollout, packageId);
      // A pause is no time in which it could have become well.
      else if (at === 'verifying') await setPackage(tx, rollout, packageId, { state: 'verifying', reason: '' });
    return setState(tx, rollout, 'running', '');
  }
  if (state === 'rolled_back') return;
  if (state === 'done' && (await anotherSince(tx, rollout)))
    throw refuse('another one began after it, and what that built upon would be taken away');
  for (const each of rollout.packages)
    if (each.state === 'stuck')
      await setPackage(tx, rollout, each.id, { state: 'undoing', undoTo: 'undone', reason: 'rolled back' }, true);
  await setState(tx, rollout, 'rolling_back', '');
  if (state === 'done') await askForWorkflow(tx, id, rollbackWorkflowId(id));
}

/** A package is passed over: what waits for it goes on without it. @throws NOT_FOUND · CONFLICT */
export async function skipPackage(
  tx: DatabaseTransaction,
  ownerId: string,
  id: string,
  packageId: string,
): Promise<void> {
  const rollout = await lockRollout(tx, id, ownerId);
  const each = packageOf(rollout, packageId);
  if (each.state === 'skipped') return;
  if (each.state !== 'waiting' && each.state !== 'failed' && each.state !== 'stuck')
    throw new DomainError(
      'CONFLICT',
      `${packageId} is ${each.state}; only what waits, failed or is stuck can be skipped`,
    );
  await setPackage(tx, rollout, packageId, { state: 'skipped', reason: 'skipped by a person' });
  if (rollout.state === 'held') await setState(tx, rollout, 'running', '');
}

/**
 * A person says how a step of theirs, or one that nobody knows the end of, has ended. `again`: it is known not to have been done.
 * @throws NOT_FOUND · CONFLICT
 */
export async function answerStep(
  tx: DatabaseTransaction,
  { ownerId, id, packageId }: { ownerId: string; id: string; packageId: string },
  answer: { outcome: 'done' | 'failed' | 'again'; reason: string },
): Promise<void> {
  const rollout = await lockRollout(tx, id, ownerId);
  const each = packageOf(rollout, packageId);
  if (each.state !== 'running' && each.state !== 'undoing')
    throw new DomainError('CONFLICT', `${packageId} is ${each.state}; no step of it waits for a person`);
  // What waited when the package began to be taken back waits no more.
  const phase = each.state === 'undoing' ? 'undo' : 'steps';
  const step = each.steps.find((one) => one.phase === phase && (one.state === 'waiting' || one.state === 'doubtful'));
  if (step === undefined) throw new DomainError('CONFLICT', `no step of ${packageId} waits for a person`);
  const unit = { packageId, attempt: each.attempt, ...step };
  if (answer.outcome !== 'again') return endStep(tx, id, unit, { state: answer.outcome, reason: answer.reason });
  if (step.state === 'waiting')
    throw new DomainError('CONFLICT', `${packageId} waits for a person; say done or failed`);
  await deleteStep(tx, id, unit);
  await resolveNotice(tx, noticeKey(id, packageId));
  await appendEvents(tx, [{ ownerId, type: 'rollout.step_again', subject: id, data: { packageId } }]);
}

/** Its steps are done anew, all of them, once what it left is taken back. */
async function again(tx: DatabaseTransaction, rollout: LockedRollout, packageId: string): Promise<void> {
  const each = packageOf(rollout, packageId);
  if (each.state === 'stuck') {
    await setPackage(tx, rollout, packageId, { state: 'undoing', undoTo: 'failed' }, true);
    return;
  }
  await tx
    .updateTable('rolloutPackages')
    .set({ attempt: each.attempt + 1, undoTo: null })
    .where('rolloutId', '=', rollout.id)
    .where('packageId', '=', packageId)
    .execute();
  await setPackage(tx, rollout, packageId, { state: 'waiting', reason: '' });
}

async function anotherSince(tx: DatabaseTransaction, { id, ownerId }: LockedRollout): Promise<boolean> {
  const { rows } =
    await sql`select 1 from rollouts where owner_id = ${ownerId} and created_at > (select created_at from rollouts where id = ${id}) limit 1`.execute(
      tx,
    );
  return rows.length > 0;
}
