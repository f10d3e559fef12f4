import { inviteWorkflowId } from '../../domain/ids.ts';
import { inviteChangedSignal } from '../../domain/invites.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { foundGuild } from '../../stores/guilds.ts';
import { newId } from '../../stores/ids.ts';
import { createInviteAnswerStore } from '../../stores/invite-answers.ts';
import type { InviteToGuildInput } from '../../workflows/invite-to-guild.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';
import { addPerson } from '../support/market.ts';

/** Invitations that end in each of the ways a worker without a model brings about: an agent’s owner answers for it. */
export async function recordInvites(
  { db, client }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  const guildId = newId('guild');
  const inviter = { ownerId: labOwner, agentId: null };
  const made = { id: guildId, name: 'The Night Watch', purpose: '', seats: 9, requestHash: Buffer.from('recorded') };
  await db.transaction().execute((tx) => foundGuild(tx, { ...made, founder: inviter }, testFleet().guilds));
  const answers = createInviteAnswerStore(db);

  async function invite(invitee: InviteToGuildInput['invitee'], expiresInSeconds: number) {
    const inviteId = newId('invite');
    const workflowId = inviteWorkflowId(inviteId);
    const said = { role: 'member', message: '', tokenHash: null, requestHash: 'bb' } as const;
    const input: InviteToGuildInput = { inviteId, guildId, inviter, invitee, expiresInSeconds, ...said };
    const handle = await client.workflow.start('inviteToGuild', {
      workflowId,
      taskQueue: coordinationQueue,
      args: [input],
      workflowTaskTimeout: '2 seconds',
    });
    return { inviteId, workflowId, handle };
  }
  const row = (id: string) => db.selectFrom('guildInvites').select('waitsFor').where('id', '=', id).executeTakeFirst();

  const ben = await addPerson(db, 'ben');
  const reminded = await invite({ target: 'user', userId: ben.ownerId }, 4);
  await reminded.handle.result();
  await save('invite-to-guild-expired', reminded.workflowId);

  const accepted = await invite({ target: 'user', userId: ben.ownerId }, 3_600);
  await until('it is sent', async () => (await row(accepted.inviteId)) !== undefined);
  const asked = { id: accepted.inviteId, ownerId: ben.ownerId };
  await db.transaction().execute((tx) => answers.acceptById(tx, asked));
  await accepted.handle.signal(inviteChangedSignal);
  await accepted.handle.result();
  await save('invite-to-guild-accepted', accepted.workflowId);

  const again = await invite({ target: 'user', userId: ben.ownerId }, 3_600);
  await again.handle.result();
  await save('invite-to-guild-refused', again.workflowId);

  const agent = await invite({ target: 'agent', agentId: 'light-001' }, 3_600);
  await until('its owner is asked', async () => (await row(agent.inviteId))?.waitsFor === 'owner');
  await db.transaction().execute((tx) => answers.acceptById(tx, { id: agent.inviteId, ownerId: labOwner }));
  await agent.handle.signal(inviteChangedSignal);
  await agent.handle.result();
  await save('invite-to-guild-by-owner', agent.workflowId);
}
