import { dropTimesSchema } from '../../domain/drop-times.ts';
import { compositionWorkflowId, dropWorkflowId } from '../../domain/ids.ts';
import { rowsChangedSignal } from '../../domain/messages.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createDeliveryStore } from '../../stores/deliveries.ts';
import { addDropSchedule } from '../../stores/drop-schedules.ts';
import { editDrop } from '../../stores/drops.ts';
import { newId } from '../../stores/ids.ts';
import { createPublishingStore } from '../../stores/publishing.ts';
import { sql } from 'kysely';
import { startMastodonDouble } from '../support/channels/mastodon.ts';
import { startSlackDouble } from '../support/channels/slack.ts';
import { startWebhookDouble } from '../support/channels/webhook.ts';
import { keptChannel, publishedDrop } from '../support/drops.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, labOwner, until } from '../support/lab.ts';

/** Drops that are published at once and later, that are posted again, composed from reflections, and replied to. */
export async function recordDrops(
  { db, client, ...lab }: Lab,
  save: (name: string, workflowId: string) => Promise<void>,
): Promise<void> {
  await lab.apply({
    ...testFleet({ heavy: 2, light: 3 }),
    drops: { allowPrivate: ['127.0.0.1'], lateAfter: '30m', lateSpacing: '10m', missedAfter: '1d' },
  });
  const [webhook, slack, mastodon] = [
    await startWebhookDouble(),
    await startSlackDouble(),
    await startMastodonDouble(),
  ];
  const program = await keptChannel(db, labOwner, {
    kind: 'webhook',
    settings: { url: `${webhook.url}/hooks` },
    secrets: { secret: `whsec_${Buffer.alloc(32, 1).toString('base64')}` },
  });
  const room = await keptChannel(db, labOwner, { kind: 'slack_webhook', secrets: { url: slack.webhookUrl } });
  const account = await keptChannel(db, labOwner, {
    kind: 'mastodon',
    settings: { server: mastodon.url },
    secrets: { accessToken: mastodon.token },
  });
  try {
    // One try of the first fails, and of the second nobody knows.
    webhook.fail({ status: 503 });
    slack.fail('cut_after');
    const first = await publishedDrop(db, labOwner, { channels: [program, room], agentId: 'light-001' });
    await ended(dropWorkflowId(first));
    await save('publish-drop-partly', dropWorkflowId(first));
    const { id: deliveryId } = await db
      .selectFrom('deliveries')
      .select('id')
      .where('dropId', '=', first)
      .where('state', '=', 'unconfirmed')
      .executeTakeFirstOrThrow();
    await db
      .transaction()
      .execute((tx) => createDeliveryStore(db).again(tx, { ownerId: labOwner, id: first }, deliveryId));
    const again = dropWorkflowId(first, { channelId: room, count: 1 });
    await ended(again);
    await save('publish-drop-again', again);

    const publishAt = new Date(Date.now() + 3_600_000).toISOString();
    const later = await publishedDrop(db, labOwner, { channels: [account], agentId: 'light-001', publishAt });
    await until('it waits', () => signaled(later));
    await db
      .transaction()
      .execute((tx) =>
        editDrop(tx, { ownerId: labOwner, id: later }, { version: 1, change: { publishAt: new Date().toISOString() } }),
      );
    await signaled(later);
    await ended(dropWorkflowId(later));
    await save('publish-drop-moved', dropWorkflowId(later));

    webhook.fail({ status: 429, headers: { 'retry-after': '3600' } });
    const back = await publishedDrop(db, labOwner, { channels: [program] });
    await until('it was put off', async () => {
      const row = await db
        .selectFrom('deliveryAttempts')
        .innerJoin('deliveries', 'deliveries.id', 'deliveryAttempts.deliveryId')
        .select('outcome')
        .where('dropId', '=', back)
        .executeTakeFirst();
      return row?.outcome === 'deferred';
    });
    await db
      .transaction()
      .execute((tx) => createPublishingStore(db).takeBack(tx, { ownerId: labOwner, id: back }, { by: 'tok_recorded' }));
    await signaled(back);
    await ended(dropWorkflowId(back));
    await save('publish-drop-taken-back', dropWorkflowId(back));

    mastodon.reply(mastodon.posts[0]!, 'ada', 'Is the lamp lit tonight?');
    await client.workflow.execute('collectReplies', {
      workflowId: 'collect-replies-recorded',
      taskQueue: coordinationQueue,
      args: [],
    });
    await save('collect-replies', 'collect-replies-recorded');

    const id = newId('dropSchedule');
    const times = dropTimesSchema.parse({ times: ['00:00', '06:00', '12:00', '18:00'] });
    const subject = { agentId: 'light-001', clusterId: null, guildId: null };
    await db
      .transaction()
      .execute((tx) => addDropSchedule(tx, { ownerId: labOwner, id, ...subject, channels: [program], times }));
    await sql`update drop_schedules set next_at = now() where id = ${id}`.execute(db);
    await client.workflow.execute('composeDrops', {
      workflowId: 'compose-drops-recorded',
      taskQueue: coordinationQueue,
      args: [{}],
    });
    await save('compose-drops', 'compose-drops-recorded');
    const composition = await db
      .selectFrom('compositions')
      .select('id')
      .where('scheduleId', '=', id)
      .executeTakeFirstOrThrow();
    await until('it was composed', async () => {
      const row = await db
        .selectFrom('compositions')
        .select('state')
        .where('id', '=', composition.id)
        .executeTakeFirstOrThrow();
      return row.state !== 'composing';
    });
    await ended(compositionWorkflowId(composition.id));
    await save('compose-drop-composed', compositionWorkflowId(composition.id));
  } finally {
    await Promise.all([webhook, slack, mastodon].map((double) => double.close()));
  }

  async function ended(workflowId: string): Promise<void> {
    await until(`${workflowId} was started`, () =>
      client.workflow
        .getHandle(workflowId)
        .describe()
        .then(
          () => true,
          () => false,
        ),
    );
    await client.workflow.getHandle(workflowId).result();
  }

  function signaled(dropId: string): Promise<boolean> {
    return client.workflow
      .getHandle(dropWorkflowId(dropId))
      .signal(rowsChangedSignal)
      .then(
        () => true,
        () => false,
      );
  }
}
