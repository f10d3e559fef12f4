import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { RunnableService } from '../../domain/service-units.ts';
import { createCompose } from '../../integrations/supervisors/compose.ts';

const service: RunnableService = {
  id: 'store',
  machineId: 'mainpc',
  folder: '/srv',
  command: [],
  image: 'store:1',
  ports: [],
  gpu: false,
  environment: {},
  limits: {},
};

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-compose-'));
  // Of docker only its answers: which containers there are is told by the file `listed`.
  const script = `#!/bin/sh\ncase "$1" in ps) cat '${folder}/listed';; *) touch '${folder}/up';; esac\n`;
  writeFileSync(join(folder, 'docker'), script, { mode: 0o755 });
  vi.stubEnv('PATH', `${folder}:${process.env['PATH']}`);
});
afterEach(() => {
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

const compose = () =>
  createCompose({ machineId: 'mainpc', dataFolder: join(folder, 'data'), words: ['docker', 'compose'] });
const listed = (file: string) => writeFileSync(join(folder, 'listed'), `running\tUp 2 hours\t${file}\n`);

test('a project of another Soulfra on the host is neither taken over nor taken for one’s own', async () => {
  listed('/home/other/services/soulfra-store/compose.json');
  await expect(compose().start(service)).rejects.toThrow(
    'there is a compose project soulfra-store of /home/other/services/soulfra-store/compose.json',
  );
  expect(existsSync(join(folder, 'up'))).toBe(false);
  expect(await compose().own()).toEqual([]);
  expect(await compose().look('store')).toEqual({ state: 'stopped', reason: 'it has no container' });
});

test('what is there of the same file is one’s own', async () => {
  listed(join(folder, 'data/soulfra-store/compose.json'));
  await compose().start(service);
  expect(existsSync(join(folder, 'up'))).toBe(true);
  expect(await compose().own()).toEqual(['store']);
  expect(await compose().look('store')).toEqual({ state: 'running', reason: '' });
});

test('before its first start there is none', async () => {
  writeFileSync(join(folder, 'listed'), '\n');
  expect(await compose().look('store')).toEqual({ state: 'stopped', reason: 'it has no container' });
  await compose().start(service);
  expect(await compose().own()).toEqual(['store']);
});
