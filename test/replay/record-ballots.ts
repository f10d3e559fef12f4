import { sql } from 'kysely';
import type { BallotEffect } from '../../domain/ballots.ts';
import { askVoterWorkflowId, ballotWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { newId } from '../../stores/ids.ts';
import { propose, withdrawProposal } from '../../stores/proposals.ts';
import { createVoteStore } from '../../stores/votes.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';

/** A ballot that is carried out, one whose effect fails, one that is withdrawn, and a day of ego; where `pc2` works, simulated. */
export async function recordBallots(
  { client, db, ...lab }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  await lab.apply(testFleet({ heavy: 0, light: 4 }));
  await lab.settled(['pc2']);
  const votes = createVoteStore(db);
  const stateOf = async (id: string) =>
    (await db.selectFrom('ballots').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;

  const put = async (effect: BallotEffect, discussionSeconds: number, askedAgents: number): Promise<string> => {
    const id = newId('ballot');
    const terms = { extensionSeconds: 0, quorum: 20, threshold: 50, lineageShare: 50, votesPerHour: 20, askedAgents };
    const said = { title: 'A second ferry', text: '', method: 'single' as const, options: ['Yes', 'No'] };
    await db.transaction().execute((tx) =>
      propose(tx, {
        ...terms,
        ...said,
        id,
        ownerId: labOwner,
        guildId: null,
        authorKind: 'user',
        authorId: labOwner,
        effect,
        discussionSeconds,
        voteSeconds: 3_600,
        requestHash: Buffer.from('recorded'),
        madeBy: 'recorded',
      }),
    );
    return id;
  };
  const vote = (ballotId: string, voterId: string) =>
    db.transaction().execute((tx) => {
      const said = { ballotId, voterId, choice: 1, reason: '', evidence: [] };
      return votes.cast(tx, { ...said, origin: 'person', madeBy: 'recorded' }, labOwner);
    });
  const told = (id: string) => client.workflow.getHandle(ballotWorkflowId(id)).signal(rowsChangedSignal);
  const due = async (id: string) => {
    await sql`update ballots set closes_at = clock_timestamp() where id = ${id}`.execute(db);
    await told(id);
    await client.workflow.getHandle(ballotWorkflowId(id)).result();
  };
  const begun = (id: string) =>
    until('the workflow has begun', async () => {
      const { count } = await client.workflow.count(`WorkflowId = '${ballotWorkflowId(id)}'`);
      return count > 0;
    });

  const carried = await put({ kind: 'blessing_share' }, 3_600, 2);
  // As a machine with a model would have brought it: a simulated one has no opinion.
  const brought = { choice: 1, reason: 'I sail.', evidence: [], tokens: 9, modelId: 'light_q4', machineId: 'pc2' };
  await sql`insert into step_results (work_id, step, machine_id, epoch, result)
    select ${carried}, 'vote-light-001', id, epoch, ${JSON.stringify({ ...brought, promptVersion: 'vote/1' })}::jsonb
    from machines where id = 'pc2'`.execute(db);
  await begun(carried);
  await sql`update ballots set opens_at = clock_timestamp() where id = ${carried}`.execute(db);
  await told(carried);
  for (const agentId of ['light-001', 'light-002'])
    await until(`${agentId} was asked`, async () => {
      const rows = await db.selectFrom('votes').select('voterId').where('voterId', '=', agentId).execute();
      return rows.length > 0;
    });
  await vote(carried, 'light-003');
  await due(carried);
  await save('hold-ballot-carried-out', ballotWorkflowId(carried));
  await save('ask-voter-given', askVoterWorkflowId(carried, 'light-001'));
  await save('ask-voter-absent', askVoterWorkflowId(carried, 'light-002'));

  const failed = await put({ kind: 'spawn_approval', whisperId: await endedWhisper(), draft: 1 }, 0, 0);
  await until('the vote is open', async () => (await stateOf(failed)) === 'open');
  for (const agentId of ['light-001', 'light-002']) await vote(failed, agentId);
  await due(failed);
  await save('hold-ballot-effect-failed', ballotWorkflowId(failed));

  const withdrawn = await put({ kind: 'none' }, 3_600, 0);
  await begun(withdrawn);
  await db
    .transaction()
    .execute((tx) => withdrawProposal(tx, { ballotId: withdrawn, ownerId: labOwner, by: 'recorded' }));
  await told(withdrawn);
  await client.workflow.getHandle(ballotWorkflowId(withdrawn)).result();
  await save('hold-ballot-withdrawn', ballotWorkflowId(withdrawn));

  await client.workflow.execute('settleEgo', {
    workflowId: 'ego:recorded',
    taskQueue: coordinationQueue,
    args: [{ day: '2026-11-22' }],
  });
  await save('settle-ego-done', 'ego:recorded');

  async function endedWhisper(): Promise<string> {
    const id = newId('whisper');
    await sql`insert into whispers (id, owner_id, source, parent_id, lineage_id, text, state, reason_code, reason, requested_by, request_id,
        body_hash, received_at, ended_at)
      values (${id}, ${labOwner}, 'api', 'light-001', 'light-001', 'Somebody.', 'refused', 'NOT_APPROVED', 'no', 'recorded', ${id}, 'x',
        now(), now())`.execute(db);
    return id;
  }
}
