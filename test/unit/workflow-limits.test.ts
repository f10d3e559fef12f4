import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { durationSeconds } from '../../domain/durations.ts';

const units: Record<string, string> = { second: 's', minute: 'm', hour: 'h' };

/** The options of each proxyActivities call with its time-outs as they are written. */
function proxies(): Array<{ file: string; options: string }> {
  const folder = join(repositoryRoot, 'workflows');
  return readdirSync(folder).flatMap((file) => {
    const source = readFileSync(join(folder, file), 'utf8');
    return [...source.matchAll(/proxyActivities<[^>]*>\(\{([\s\S]*?)\n *\}\)/g)].map(([, options]) => ({
      file,
      options: options!,
    }));
  });
}

test('an activity that may take over a minute beats: a machine that is killed with it in hand holds nobody for longer', () => {
  const long = proxies().filter(({ options }) => {
    const written = /startToCloseTimeout: '(\d+) (second|minute|hour)s?'/.exec(options);
    return written !== null && durationSeconds(`${written[1]}${units[written[2]!]}`) > 60;
  });
  expect(long.length).toBeGreaterThan(5);
  for (const { file, options } of long) expect(options, file).toContain('heartbeatTimeout');
});
