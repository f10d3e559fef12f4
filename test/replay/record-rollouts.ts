import { rolloutWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { rolloutFileSchema } from '../../domain/rollouts.ts';
import type { RolloutState } from '../../domain/states.ts';
import type { DatabaseTransaction } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';
import { findRollout } from '../../stores/queries/rollouts.ts';
import { actOnRollout, answerStep, beginRollout } from '../../stores/rollouts.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';

export const rolloutHistories = ['roll-out-rolled-back', 'roll-out-verified'];

const manual = { kind: 'manual', text: 'look' };

export async function recordRollouts(
  { client, db }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const token = newId('token');
  await db
    .insertInto('tokens')
    .values({ id: token, ownerId: labOwner, kind: 'bearer', role: 'operator', hash: Buffer.from(token) })
    .execute();
  await rolledBack();
  await verified();

  /** A person's step, a deployment of nothing, a command that `pc2` does not trust, and the way back. */
  async function rolledBack(): Promise<void> {
    const id = await begin([
      { id: 'looked-at', title: 'Looked at', machines: ['pc2'], steps: [manual, { kind: 'deploy' }] },
      {
        id: 'refused',
        title: 'Refused',
        dependsOn: ['looked-at'],
        machines: ['pc2'],
        steps: [{ kind: 'command', command: ['true'] }],
        undo: [manual],
      },
    ]);
    await done(id, 'looked-at');
    await done(id, 'refused');
    await is(id, 'held');
    await act(id, (tx) => actOnRollout(tx, labOwner, id, 'rollback'));
    await saved(id, 'roll-out-rolled-back');
  }

  /** A package whose rules hold, and one whose rule finds what the last assessment could not look at. */
  async function verified(): Promise<void> {
    const id = await begin([
      { id: 'WP-10', title: 'Holds', steps: [manual], undo: [manual], verify: { rules: ['secret-in-file'] } },
      {
        id: 'WP-08',
        title: 'Does not',
        dependsOn: ['WP-10'],
        steps: [manual],
        undo: [manual],
        verify: { rules: ['live-unknown'], subjects: ['mainpc'] },
      },
    ]);
    await done(id, 'WP-10');
    await done(id, 'WP-08');
    // Its undo.
    await done(id, 'WP-08');
    await is(id, 'held');
    await act(id, (tx) => actOnRollout(tx, labOwner, id, 'rollback'));
    await done(id, 'WP-10');
    await saved(id, 'roll-out-verified');
  }

  async function begin(workPackages: object[]): Promise<string> {
    const id = newId('rollout');
    const file = rolloutFileSchema.parse({ version: 1, workPackages });
    const rollout = { id, ownerId: labOwner, file, machines: ['pc2'], requestHash: Buffer.from(id), madeBy: token };
    await db.transaction().execute((tx) => beginRollout(tx, rollout));
    return id;
  }

  async function act(id: string, work: (tx: DatabaseTransaction) => Promise<void>): Promise<void> {
    await db.transaction().execute(work);
    await client.workflow.getHandle(rolloutWorkflowId(id)).signal(rowsChangedSignal);
  }

  async function is(id: string, state: RolloutState): Promise<void> {
    await until(`it is ${state}`, async () => (await findRollout(db, labOwner, id))?.state === state, 60_000);
  }

  /** Whatever the package waits for. */
  async function done(id: string, packageId: string): Promise<void> {
    await until(
      `${packageId} waits for a person`,
      async () => {
        const found = await findRollout(db, labOwner, id);
        const steps = found?.packages.find((each) => each.id === packageId)?.steps;
        return steps?.some((step) => step.state === 'waiting') === true;
      },
      60_000,
    );
    await act(id, (tx) => answerStep(tx, { ownerId: labOwner, id, packageId }, { outcome: 'done', reason: '' }));
  }

  async function saved(id: string, name: string): Promise<void> {
    await is(id, 'rolled_back');
    await client.workflow.getHandle(rolloutWorkflowId(id)).result();
    await save(name, rolloutWorkflowId(id));
  }
}
