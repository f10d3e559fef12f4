import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDeliveryActivities } from '../../activities/deliveries.ts';
import { createDropActivities } from '../../activities/drops.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { activityInterceptors } from '../../activities/interceptors.ts';
import { dropWorkflowId } from '../../domain/ids.ts';
import { channelQueue, coordinationQueue } from '../../domain/task-queues.ts';
import { createPosting } from '../../integrations/channels/posting.ts';
import { createGuardedFetch } from '../../integrations/guarded-fetch.ts';
import { createChannelStore } from '../../stores/channels.ts';
import { createDeliveryStore } from '../../stores/deliveries.ts';
import { editDrop } from '../../stores/drops.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { createPublishingStore } from '../../stores/publishing.ts';
import { keptChannel, publishedDrop } from '../support/drops.ts';
import { applyFleet } from '../support/outbound.ts';
import { lacks } from '../support/not-run.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';
import { hasTimeSkipping, openTimeSkipping, timeSkipping } from '../support/time-skipping.ts';

const dayMs = 86_400_000;
const title = 'a drop waits two years for its time, which was moved meanwhile and whose signal was lost';
let env: TestWorkflowEnvironment | undefined;
let store: StoreScope;
beforeAll(async () => {
  if (!hasTimeSkipping) return;
  env = await openTimeSkipping();
  store = await openStoreScope();
  await applyFleet(store.db, testOwner, {});
}, 300_000);
afterAll(async () => {
  await env?.teardown();
  await store?.close();
});

test.skipIf(lacks({ ...timeSkipping, test: title }, hasTimeSkipping))(
  title,
  async () => {
    const { db, scope } = store;
    const channel = await keptChannel(db, testOwner, {
      kind: 'feed',
      settings: { title: 'Harbour', siteUrl: 'https://harbour.example' },
    });
    const startedAt = await env!.currentTimeMs();
    const after = (days: number) => new Date(startedAt + days * dayMs);
    const id = await publishedDrop(db, testOwner, { channels: [channel], publishAt: after(3 * 365).toISOString() });
    const publishing = createPublishingStore(db);
    const shipped = createDropActivities({ publishing });
    let time = after(3 * 365);
    const looks: number[] = [];
    const day = async () => ((await env!.currentTimeMs()) - startedAt) / dayMs;
    const worker = await Worker.create({
      connection: env!.nativeConnection,
      taskQueue: coordinationQueue,
      workflowBundle: { codePath: scope.workflowBundlePath() },
      interceptors: { activity: activityInterceptors },
      activities: {
        ...shipped,
        async beginPublishing(input: { dropId: string }) {
          looks.push(await day());
          // After a year somebody moves it to two; its workflow is not told.
          if (looks.at(-1)! >= 365 && time > after(2 * 365)) {
            const change = { publishAt: new Date(Date.now() + dayMs).toISOString() };
            await db.transaction().execute((tx) => editDrop(tx, { ownerId: testOwner, id }, { version: 1, change }));
            time = after(2 * 365);
          }
          // The clock of the database stands still while that of the workflow runs: its time comes nearer instead.
          const ahead = (await env!.currentTimeMs()) - Date.now();
          await sql`update drops set publish_at = ${new Date(time.getTime() - ahead)} where id = ${id}`.execute(db);
          return shipped.beginPublishing(input);
        },
      },
    });
    const poster = await Worker.create({
      connection: env!.nativeConnection,
      taskQueue: channelQueue('feed'),
      interceptors: { activity: activityInterceptors },
      activities: createDeliveryActivities({
        deliveries: createDeliveryStore(db),
        channels: createChannelStore(db),
        posting: createPosting({
          guardedFetch: createGuardedFetch(),
          box: undefined,
          allowPrivate: () => Promise.resolve([]),
        }),
        fleet: createFleetReader(createFleetStore(db)),
      }),
    });
    const result: unknown = await poster.runUntil(
      worker.runUntil(async () => {
        const handle = await env!.client.workflow.start('publishDrop', {
          workflowId: dropWorkflowId(id),
          taskQueue: coordinationQueue,
          args: [{ dropId: id }],
        });
        return handle.result();
      }),
    );
    expect(result).toEqual({ state: 'published' });
    expect(looks.at(-1)!).toBeGreaterThanOrEqual(730);
    expect(looks.at(-1)!).toBeLessThan(731);
    // It looks once a day: what a lost signal costs.
    expect(Math.max(...looks.slice(1).map((at, i) => at - looks[i]!))).toBeLessThan(1.1);
    const row = await db.selectFrom('drops').select('state').where('id', '=', id).executeTakeFirstOrThrow();
    expect(row.state).toBe('published');
  },
  240_000,
);
