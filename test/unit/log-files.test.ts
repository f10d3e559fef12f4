import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseLogLine } from '../../domain/log-lines.ts';
import { keepWriting, openLogFiles } from '../../observability/log-files.ts';
import { createLogger } from '../../observability/logger.ts';
import { until } from '../support/lab.ts';
import { lacks } from '../support/not-run.ts';

/** Takes nothing, as a disk without room does. */
const full = '/dev/full';
const lacksFull = lacks(
  { test: 'logs on a full disk (test/unit/log-files.test.ts)', needs: full, command: 'run it on Linux' },
  existsSync(full),
);
let folder: string;
let said: string[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-log-files-'));
  said = [];
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const options = { againMs: 10, say: (text: string) => void said.push(text) };

/** What stands in the folder's files, by line; undefined for what is no line of ours. */
function written(): Array<string | undefined> {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.jsonl'))
    .flatMap((name) => readFileSync(join(folder, name), 'utf8').split('\n'))
    .filter((text) => text !== '')
    .map((text) => parseLogLine(text)?.msg)
    .filter((msg) => msg !== 'try');
}

test.skipIf(lacksFull)(
  'a full disk ends no log call, is told once, and lines are written again when there is room',
  async () => {
    const file = join(folder, 'api.1.jsonl');
    symlinkSync(full, file);
    const files = await openLogFiles(folder, 'api', options);
    let lost = 0;
    const log = createLogger({ part: 'api', destination: files });
    log.info('before anybody counts');
    files.onLost((lines) => (lost += lines));
    for (let i = 0; i < 20; i += 1) {
      log.info({ i }, 'no room');
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect(lost).toBe(21);
    expect(said).toEqual([
      expect.stringMatching(/^log files of api in .* cannot be written \(ENOSPC.*\); lines are given up/),
    ]);
    rmSync(file);
    await until('there is room again', async () => {
      log.info('try');
      return said.length > 1;
    });
    expect(said).toEqual([said[0], expect.stringMatching(/can be written again; \d+ lines were given up$/)]);
    const counted = lost;
    log.info('after');
    expect(written()).toEqual(['lines were given up', 'after']);
    expect(lost).toBe(counted);
    expect(said[1]).toContain(` ${lost} lines`);
  },
);

test.skipIf(lacksFull)(
  'a process that is started on a full disk starts, one whose folder is none does not',
  async () => {
    const noRoom = () => Promise.reject(Object.assign(new Error('no space'), { code: 'ENOSPC' }));
    const log = createLogger({ part: 'api', destination: await keepWriting('the log', noRoom, options) });
    log.info('given up');
    expect(said).toEqual(['the log cannot be written (no space); lines are given up until they can']);
    await expect(openLogFiles(join(full, 'logs'), 'api', options)).rejects.toThrow(/ENOTDIR|EEXIST/);
  },
);

test('half a line that was written before the disk was full spoils none after it', async () => {
  const lines: string[] = [];
  let taken = 0;
  const open = async () => {
    let listener: (err: Error) => void = () => undefined;
    return {
      // Half of the second line, as a disk takes what it has room for.
      write(line: string) {
        taken += 1;
        lines.push(taken === 2 ? line.slice(0, 20) : line);
        if (taken === 2) listener(new Error('no space'));
      },
      on: (_event: 'error', next: typeof listener) => (listener = next),
      destroy: () => undefined,
    };
  };
  const log = createLogger({ part: 'api', destination: await keepWriting('the log', open, options) });
  log.info('one');
  log.info('two');
  await until('it is written again', async () => {
    log.info('try');
    return said.length > 1;
  });
  log.info('three');
  const read = lines
    .join('')
    .split('\n')
    .filter((text) => text !== '')
    .map((text) => parseLogLine(text)?.msg)
    .filter((msg) => msg !== 'try');
  expect(read).toEqual(['one', undefined, 'lines were given up', 'three']);
});
