import { rolloutWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { rolloutFileSchema } from '../../domain/rollouts.ts';
import type { RolloutState } from '../../domain/states.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { findRollout } from '../../stores/queries/rollouts.ts';
import { actOnRollout, answerStep, beginRollout } from '../../stores/rollouts.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';

export const rolloutHistories = ['roll-out-rolled-back'];

/** A person's step, a deployment of nothing, a command that `pc2` does not trust, and the way back. */
export async function recordRollouts(
  { client, db }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const id = newId('rollout');
  const token = newId('token');
  await db
    .insertInto('tokens')
    .values({ id: token, ownerId: labOwner, kind: 'bearer', role: 'operator', hash: Buffer.from(token) })
    .execute();
  const manual = { kind: 'manual', text: 'look' };
  const file = rolloutFileSchema.parse({
    version: 1,
    workPackages: [
      { id: 'looked-at', title: 'Looked at', machines: ['pc2'], steps: [manual, { kind: 'deploy' }] },
      {
        id: 'refused',
        title: 'Refused',
        dependsOn: ['looked-at'],
        machines: ['pc2'],
        steps: [{ kind: 'command', command: ['true'] }],
        undo: [manual],
      },
    ],
  });
  const rollout = {
    id,
    ownerId: labOwner,
    file,
    machines: ['pc2'],
    requestHash: Buffer.from('recorded'),
    madeBy: token,
  };
  await db.transaction().execute((tx) => beginRollout(tx, rollout));
  const act = async (work: (tx: DatabaseTransaction) => Promise<void>) => {
    await db.transaction().execute(work);
    await client.workflow.getHandle(rolloutWorkflowId(id)).signal(rowsChangedSignal);
  };
  const asked = (packageId: string) =>
    until(`${packageId} waits for a person`, async () => {
      const found = await findRollout(db, labOwner, id);
      const steps = found?.packages.find((each) => each.id === packageId)?.steps;
      return steps?.some((step) => step.state === 'waiting') === true;
    });
  const is = (state: RolloutState) =>
    until(`it is ${state}`, async () => (await findRollout(db, labOwner, id))?.state === state, 60_000);
  const done = (packageId: string) =>
    act((tx) => answerStep(tx, { ownerId: labOwner, id, packageId }, { outcome: 'done', reason: '' }));
  await asked('looked-at');
  await done('looked-at');
  await asked('refused');
  await done('refused');
  await is('held');
  await act((tx) => actOnRollout(tx, labOwner, id, 'rollback'));
  await is('rolled_back');
  await client.workflow.getHandle(rolloutWorkflowId(id)).result();
  await save('roll-out-rolled-back', rolloutWorkflowId(id));
}
