import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ClusterFleet, lacksClusterPrograms, openClusterFleet } from '../support/cluster-fleet.ts';

/** A restore of a deployment's cluster, killed with all that it has begun. */
describe.skipIf(lacksClusterPrograms('a restore of a deployment that is killed'))('the cluster of a deployment', () => {
  let stage: ClusterFleet;

  beforeAll(async () => {
    stage = await openClusterFleet();
    await stage.done('create');
  }, 180_000);
  afterAll(() => stage?.close());

  test('killed at any step, a restore leaves the old cluster or the new one', async () => {
    await stage.grant('second');
    const all = ['first', 'second'];
    const generations = async () =>
      (await stage.query<{ count: number }>('select count(*)::int as count from restores'))[0]!.count;
    const old = await generations();
    // In order, so that all of it has left.
    await stage.stop();
    for (const killAt of [/restoring /, /replaying/, /adding the books up/, /exchanging/]) {
      const cut = await stage.run(['restore', '--to', 'latest'], { killAt });
      // The last step may be over before the kill comes.
      if (killAt.source !== 'exchanging') expect([cut.result, cut.failed]).toEqual([undefined, undefined]);
      await stage.start();
      expect(await stage.reasons()).toEqual(all);
      expect(await stage.executions()).toEqual(all.toSorted());
      // Until it is whole nothing is exchanged.
      expect([old, ...(killAt.source === 'exchanging' ? [old + 1] : [])]).toContain(await generations());
      await stage.stop();
    }
    // What was begun is cleared away by the next one.
    await stage.done('restore', '--to', 'latest');
    expect(readdirSync(stage.data('postgres')).filter((name) => name.startsWith('restore'))).toEqual([]);
    await stage.start();
    expect(await stage.reasons()).toEqual(all);
  }, 240_000);
});
