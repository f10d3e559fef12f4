import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { runOnce } from '../../integrations/host/commands-once.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-once-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const asked = (command: string[], more: object = {}) => ({
  folder: join(folder, 'commands'),
  key: 'rlt_1-wp-01-1-steps-0',
  command,
  workingDirectory: folder,
  env: { PATH: process.env['PATH'] },
  timeoutMs: 60_000,
  ...more,
});
const never = () => new AbortController().signal;
const shell = (text: string) => ['/bin/sh', '-c', text];
const lines = () => readFileSync(join(folder, 'done'), 'utf8').trim().split('\n').length;

test('ten who ask at once, and one who asks later, find one command done once', async () => {
  const command = shell('echo x >> done; sleep 0.5; echo well; exit 3');
  const ended = await Promise.all(Array.from({ length: 10 }, () => runOnce(asked(command), never())));
  for (const each of [...ended, await runOnce(asked(command), never())])
    expect(each).toEqual({ kind: 'ended', status: 3, output: 'well' });
  expect(lines()).toBe(1);
});

test('who asked is killed, and the command goes on; who asks again waits for it', async () => {
  const command = shell('echo x >> done; while [ ! -e go ]; do sleep 0.05; done; echo well');
  const program = `
    import { runOnce } from ${JSON.stringify(join(import.meta.dirname, '../../integrations/host/commands-once.ts'))};
    await runOnce(${JSON.stringify(asked(command))}, new AbortController().signal);`;
  const asking = spawn(process.execPath, ['--input-type=module', '-e', program], { stdio: 'inherit' });
  await expect.poll(() => attempt(lines), { timeout: 20_000 }).toBe(1);
  asking.kill('SIGKILL');
  await new Promise((resolve) => asking.once('close', resolve));
  const waiting = runOnce(asked(command), never());
  await runOnce(asked(shell('touch go'), { key: 'other' }), never());
  expect(await waiting).toEqual({ kind: 'ended', status: 0, output: 'well' });
  expect(lines()).toBe(1);
});

test('a command that was killed with all that it is of is in doubt, and is not done again', async () => {
  const command = shell('echo x >> done; echo begun; kill -9 $PPID; sleep 60 & kill -9 $$');
  expect(await runOnce(asked(command), never())).toEqual({ kind: 'doubtful', output: 'begun' });
  expect(await runOnce(asked(command), never())).toEqual({ kind: 'doubtful', output: 'begun' });
  expect(lines()).toBe(1);
});

test('what takes too long is ended, with all that it began', async () => {
  const command = shell('echo x >> done; sleep 61.5 & wait');
  expect(await runOnce(asked(command, { timeoutMs: 500 }), never())).toMatchObject({ kind: 'timed_out' });
  expect(await runOnce(asked(command), never())).toMatchObject({ kind: 'doubtful' });
});

test('its time counts from its start, also for who asks for it later', async () => {
  const command = shell('while [ ! -e go ]; do sleep 0.05; done');
  const leaving = new AbortController();
  const first = runOnce(asked(command), leaving.signal);
  const pid = join(folder, 'commands', asked(command).key, 'pid');
  await expect.poll(() => existsSync(pid), { timeout: 20_000 }).toBe(true);
  leaving.abort(new Error('its worker ends'));
  await expect(first).rejects.toThrow();
  const hourAgo = Date.now() / 1000 - 3_600;
  utimesSync(pid, hourAgo, hourAgo);
  const again = runOnce(asked(command, { timeoutMs: 30 * 60_000 }), never());
  // Without its end it would wait for a file that never comes.
  expect(await again).toMatchObject({ kind: 'timed_out' });
});

function attempt<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
