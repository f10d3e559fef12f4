import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import type { ApiFixture } from './api.ts';

/** The shipped fleet with its 297 agents, as the first apply makes it; its machines are said to be there. */
export async function seedUiTown(api: ApiFixture): Promise<void> {
  const source = readFileSync(join(repositoryRoot, 'fleet.yaml'), 'utf8');
  const applied = await api.call('POST', '/v1/fleet/apply', { body: { source } });
  expect(applied.status, applied.text).toBe(200);
  await api.db.updateTable('machines').set({ state: 'ready', epoch: 1 }).execute();
}
