import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { afterEach, expect, test, vi } from 'vitest';
import { type Machines, tellMachines } from '../../cli/commands/deploy-place.ts';

afterEach(() => void vi.restoreAllMocks());

/** What is printed for whoever brings each machine up. */
function printed(of: Partial<Machines>): string[] {
  const said: string[] = [];
  vi.spyOn(process.stdout, 'write').mockImplementation((text) => {
    said.push(String(text));
    return true;
  });
  tellMachines({
    folder: '/srv/soulfra-deploy',
    units: false,
    coordination: 'pc2',
    standby: 'mainpc',
    machines: ['pc2', 'mainpc', 'gpu3'],
    ...of,
  });
  vi.restoreAllMocks();
  return stripVTControlCharacters(said.join(''))
    .split('\n')
    .filter((text) => text !== '');
}

test('each machine is told how it gets its part and what starts it: an apply where there is a checkout', () => {
  const lines = printed({});
  expect(lines[0]).toMatch(/^ {2}on pc2: soulfra deploy apply --out \S+ --machine pc2$/);
  for (const id of ['mainpc', 'gpu3']) {
    const from = lines.findIndex((text) => text.startsWith(`  for ${id}`));
    const next = lines.findIndex((text, at) => at > from && text.startsWith('  for '));
    const own = lines.slice(from, next < 0 ? undefined : next);
    expect(own.join('\n')).toMatch(new RegExp(`npx soulfra deploy apply --out ~/soulfra-deploy --machine ${id}$`, 'm'));
    const started = own.flatMap((text) => /^ {4}(ssh .* up -d --wait'?)$/.exec(text)?.[1] ?? []);
    expect(started.map((text) => /soulfra-deploy\/(\S+\.yaml)/.exec(text)![1])).toEqual([
      ...(id === 'mainpc' ? ['standby.yaml'] : []),
      `inference-${id}.yaml`,
    ]);
    // `.env` was brought with the folder, and has the CPUs of another machine.
    for (const text of started) expect(text).toContain("'SOULFRA_CPUS=$(nproc) docker compose ");
  }
});

test('the line that brings a machine its part brings that, and nothing else', () => {
  const work = mkdtempSync(join(tmpdir(), 'soulfra-place-'));
  try {
    const folder = join(work, 'kit');
    for (const [name, text] of [
      ['machines/gpu3.files', '.env\ntls/gpu3.key\n'],
      ['.env', 'A=1\n'],
      ['tls/gpu3.key', 'key'],
      ['secrets/postgres_password', 'secret'],
    ] as const) {
      mkdirSync(join(folder, name, '..'), { recursive: true });
      writeFileSync(join(folder, name), text);
    }
    // In place of the other machine: a shell in a folder of its own.
    const there = join(work, 'there');
    mkdirSync(there);
    writeFileSync(join(work, 'ssh'), `#!/bin/sh\nshift\ncd ${there} && exec sh -c "$*"\n`, { mode: 0o755 });
    const copy = printed({ folder, machines: ['pc2', 'gpu3'] }).find((text) => text.includes('tar -C '))!;
    const { status, stderr } = spawnSync('sh', ['-c', copy], {
      encoding: 'utf8',
      env: { ...process.env, PATH: `${work}:${process.env['PATH']}` },
    });
    expect([status, stderr]).toEqual([0, '']);
    const brought = join(there, 'soulfra-deploy');
    expect(['.env', 'tls/gpu3.key', 'secrets', 'machines'].map((name) => existsSync(join(brought, name)))).toEqual([
      true,
      true,
      false,
      false,
    ]);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
});
