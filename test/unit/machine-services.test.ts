import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import pino from 'pino';
import { expect, test } from 'vitest';
import type { ServiceRunStore } from '../../stores/service-runs.ts';
import { createMachineServices } from '../../workers/machine-services.ts';

test('what runs here no more is stopped before the machine says what it would run', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-in-line-'));
  const said: string[] = [];
  const adopting = Promise.withResolvers<void>();
  const runs = {
    async adopt() {
      said.push('is brought in line');
      await adopting.promise;
      said.push('is in line');
      return [];
    },
  } as unknown as ServiceRunStore;
  const services = createMachineServices({
    machineId: 'pc2',
    // Nothing supervises services on this host.
    environment: {
      trustFile: join(folder, 'trust.yaml'),
      dataFolder: join(folder, 'services'),
      scope: 'user',
      unitFolder: join(folder, 'units'),
      path: folder,
    },
    runs,
    reports: {
      async reportTrust() {
        said.push('says what it trusts');
      },
    },
    lease: () => ({ machineId: 'pc2', epoch: 1, signal: new AbortController().signal }),
    log: pino({ level: 'silent' }),
  });
  try {
    const reconciled = services.reconcile();
    // The lease is renewed meanwhile.
    services.beat();
    await Promise.resolve();
    adopting.resolve();
    await reconciled;
    await services.stop();
    expect(said.slice(0, 3)).toEqual(['is brought in line', 'is in line', 'says what it trusts']);
  } finally {
    await services.stop();
    rmSync(folder, { recursive: true, force: true });
  }
});
