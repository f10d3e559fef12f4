import { spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { createPayloads } from '../../config/payload-codec.ts';
import { wantedOf } from '../../deploy/compose/containers.ts';
import { programMends, type Programs } from '../../deploy/compose/host-parts.ts';
import { isSpread, keyRings, ringPrints, rotateKeys } from '../../deploy/compose/key-rotation.ts';
import { composeKit, hashLabel, hostKit, readShipped } from '../../deploy/compose/kit.ts';
import { unitFiles } from '../../deploy/compose/units.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { keyRingOf, mostRingKeys } from '../../domain/key-ring.ts';
import { secretBoxOf } from '../../integrations/secret-box.ts';

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
let parent: string;
let folder: string;
beforeAll(() => void (parent = mkdtempSync(join(tmpdir(), 'soulfra-rings-'))));
afterAll(() => rmSync(parent, { recursive: true, force: true }));
beforeEach(() => {
  folder = mkdtempSync(join(parent, 'kit-'));
  mkdirSync(join(folder, 'secrets'));
  for (const [i, name] of keyRings.entries()) put(name, [keyOf(i + 1)]);
});

const keyOf = (byte: number) => Buffer.alloc(32, byte).toString('base64url');
const put = (name: string, keys: readonly string[]) =>
  writeFileSync(join(folder, 'secrets', name), `${keys.join(',')}\n`, { mode: 0o600 });
const textOf = (name: string, at = folder) => readFileSync(join(at, 'secrets', name), 'utf8');
const ringsIn = (at = folder) => Object.fromEntries(keyRings.map((name) => [name, keyRingOf(textOf(name, at))!]));

test('in two steps: whoever is one step behind, or ahead, opens what the others close', async () => {
  const states = [ringsIn()];
  expect([rotateKeys(folder, owner), isSpread(folder)]).toEqual(['spread', true]);
  states.push(ringsIn());
  expect([rotateKeys(folder, owner), isSpread(folder)]).toEqual(['use', false]);
  states.push(ringsIn());
  const [before, spread, used] = states;
  for (const name of keyRings) {
    const [old, next] = spread![name]!;
    expect([before![name], spread![name], used![name]]).toEqual([[old], [old, next], [next, old]]);
    expect(statSync(join(folder, 'secrets', name)).mode & 0o777).toBe(0o600);
  }
  expect(readdirSync(join(folder, 'secrets')).toSorted()).toEqual([...keyRings].toSorted());
  for (const [i, closes] of states.entries())
    for (const opens of states.slice(Math.max(i - 1, 0), i + 2)) {
      for (const name of ['secret_key', 'webhook_key']) {
        const sealed = secretBoxOf(closes[name]!.join(','))!.seal('whsec_quiet', 'row');
        expect(secretBoxOf(opens[name]!.join())!.open(sealed, 'row')).toBe('whsec_quiet');
      }
      const codecOf = (rings: typeof closes) => createPayloads({ keys: rings['payload_keys']!, encodes: true }).codec;
      const encoded = await codecOf(closes).encode([{ data: Buffer.from('lamp') }]);
      expect(Buffer.from((await codecOf(opens).decode(encoded))[0]!.data!).toString()).toBe('lamp');
    }
  // What was closed before all of it opens for good, and one reseal has it under the key of now.
  const sealed = secretBoxOf(before!['secret_key']!.join())!.seal('whsec_quiet', 'row');
  const box = secretBoxOf(used!['secret_key']!.join())!;
  expect(secretBoxOf(used!['secret_key']![0])!.open(box.reseal(sealed, 'row')!, 'row')).toBe('whsec_quiet');
});

test('killed after any of its writes, the step is done again whole, and no key is lost', () => {
  rotateKeys(folder, owner);
  const next = JSON.parse(readFileSync(join(folder, 'secrets', 'next_keys.json'), 'utf8')) as Record<string, string>;
  const spread = ringsIn();
  // Of the first step: those that were not written yet are as before it.
  for (let written = 0; written < keyRings.length; written += 1) {
    for (const name of keyRings.slice(written)) put(name, [spread[name]![0]!]);
    expect(rotateKeys(folder, owner)).toBe('spread');
    expect(ringsIn()).toEqual(spread);
  }
  // Of the second one.
  for (let written = 0; written <= keyRings.length; written += 1) {
    writeFileSync(join(folder, 'secrets', 'next_keys.json'), JSON.stringify(next));
    for (const [i, name] of keyRings.entries()) put(name, i < written ? spread[name]!.toReversed() : spread[name]!);
    expect(rotateKeys(folder, owner)).toBe('use');
    for (const name of keyRings) expect(ringsIn()[name]).toEqual(spread[name]!.toReversed());
  }
});

test('a full ring, or a folder that has none, is told before anything changes', () => {
  put(
    'webhook_key',
    Array.from({ length: mostRingKeys }, (_, i) => keyOf(i + 100)),
  );
  const before = ringsIn();
  expect(() => rotateKeys(folder, owner)).toThrow(/webhook_key has 16 keys/);
  expect([ringsIn(), isSpread(folder)]).toEqual([before, false]);
  expect(() => rotateKeys(parent, owner)).toThrow(/secret_key holds no keys/);
});

test('what reads a ring starts anew when it changes, on every machine, and nothing else does', () => {
  const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
  fleet.deploy.addresses = { mainpc: '10.97.0.2', pc2: '10.97.0.1' };
  const site = deploySite(fleet);
  const shipped = readShipped(join(repositoryRoot, 'deploy'));
  const programs = Object.fromEntries(Object.keys(programMends).map((name) => [name, '/bin/true'])) as Programs;
  const made = () => {
    const rings = ringPrints(folder);
    const layout = {
      folder: '/srv/kit',
      root: '/srv/soulfra',
      node: '/bin/true',
      app: '1',
      programs,
      path: '/bin',
      rings,
    };
    const units = unitFiles(site, layout, hostKit(site, shipped, layout.folder, programs), 'soulfra');
    return { compose: composeKit(site, shipped, { rings }), units };
  };
  const [once, again] = [made(), made()];
  expect(again).toEqual(once);
  // As every fleet has it that never rotated: nobody starts anew for it.
  expect(ringPrints(folder)).toEqual(new Map());
  const hashes = ({ compose }: ReturnType<typeof made>) =>
    [...compose].flatMap(([file, text]) =>
      /^[^/]+\.yaml$/.test(file)
        ? Object.entries((parse(text) as { services: Record<string, { labels: object }> }).services).map(
            ([name, { labels }]) => [`${file} ${name}`, JSON.stringify(labels)] as const,
          )
        : [],
    );
  for (const step of ['spread', 'use']) {
    const before = made();
    expect(rotateKeys(folder, owner)).toBe(step);
    const after = made();
    const changed = (a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>) =>
      [...a].filter(([path, text]) => b.get(path) !== text).map(([path]) => path);
    expect(changed(new Map(hashes(before)), new Map(hashes(after))).toSorted(), step).toEqual([
      'coordination.yaml api',
      'coordination.yaml backup',
      'coordination.yaml restore',
      'coordination.yaml worker',
      'inference-mainpc.yaml worker',
    ]);
    expect(changed(before.units, after.units).toSorted(), step).toEqual([
      'units/mainpc/soulfra-kit-worker.service',
      'units/pc2/soulfra-kit-api.service',
      'units/pc2/soulfra-kit-backup.service',
      'units/pc2/soulfra-kit-worker.service',
    ]);
    for (const text of [...after.compose.values(), ...after.units.values()])
      for (const keys of Object.values(ringsIn())) for (const key of keys) expect(text).not.toContain(key);
  }
});

/** What `soulfra secrets rotate --out` starts. @param containers lines of `docker ps`, as Docker answers */
function rotate(kit: string, file: string, path: string): { result?: { step: string }; failed?: { message: string } } {
  const program = join(repositoryRoot, 'deploy/compose/main.ts');
  const { stdout, stderr } = spawnSync(process.execPath, [program, 'rotate', '--out', kit, '--file', file], {
    encoding: 'utf8',
    env: { ...process.env, PATH: path },
  });
  const last = stdout.trim().split('\n').at(-1)!;
  expect(last, stderr).toMatch(/^\{/);
  return JSON.parse(last) as ReturnType<typeof rotate>;
}

test('a deployment: the second step waits until this machine runs by the first; where it was only brought it is refused', () => {
  const file = join(folder, 'fleet.yaml');
  const fleet = readFileSync(join(repositoryRoot, 'fleet.yaml'), 'utf8');
  writeFileSync(file, `${fleet}\ndeploy:\n  addresses: { mainpc: 10.97.0.2, pc2: 10.97.0.1 }\n`);
  const kit = join(folder, 'kit');
  const init = spawnSync(
    process.execPath,
    [join(repositoryRoot, 'deploy/compose/main.ts'), 'init', '--out', kit, '--file', file],
    { encoding: 'utf8' },
  );
  expect(init.stdout, init.stderr).toContain('"result"');
  // Nothing runs here.
  const bin = join(folder, 'bin');
  mkdirSync(bin);
  const running = join(folder, 'running.json');
  const answers = [
    'case $1 in',
    '  compose) echo 2.30.0 ;;',
    `  ps) if [ -e ${running} ]; then echo all; fi ;;`,
    `  inspect) cat ${running} ;;`,
    'esac',
  ];
  writeFileSync(join(bin, 'docker'), `#!/bin/sh\n${answers.join('\n')}\n`, { mode: 0o755 });
  const path = `${bin}:${process.env['PATH']}`;
  const before = ringsIn(kit);
  const coordination = () => readFileSync(join(kit, 'coordination.yaml'), 'utf8');
  const unspread = coordination();
  expect(rotate(kit, file, path).result).toMatchObject({ step: 'spread' });
  const spread = ringsIn(kit);
  for (const name of keyRings) expect(spread[name]).toEqual([before[name]![0], expect.any(String)]);
  expect(readFileSync(join(kit, 'machines/mainpc.files'), 'utf8')).not.toContain('next_keys');
  const refused = () => expect(rotate(kit, file, path).failed?.message).toContain('pc2 does not run with them yet');
  refused();
  /** As Docker tells it of containers that the files there were applied to. */
  const runBy = (text: string) =>
    writeFileSync(
      running,
      JSON.stringify(
        wantedOf('coordination.yaml', text, ['observability']).map(({ service, hash, once }) => ({
          Config: { Labels: { 'com.docker.compose.service': service, [hashLabel]: hash } },
          State: { Status: once ? 'exited' : 'running', ExitCode: 0 },
          HostConfig: { PortBindings: null },
        })),
      ),
    );
  runBy(unspread);
  refused();
  expect(ringsIn(kit)).toEqual(spread);
  runBy(coordination());
  expect(rotate(kit, file, path).result).toMatchObject({ step: 'use' });
  for (const name of keyRings) expect(ringsIn(kit)[name]).toEqual(spread[name]!.toReversed());
  expect(isSpread(kit)).toBe(false);
  // What reads them starts anew once more, at the apply that follows.
  const reads = new Set(wantedOf('coordination.yaml', coordination(), ['observability']).map(({ hash }) => hash));
  const stands = JSON.parse(readFileSync(running, 'utf8')) as { Config: { Labels: Record<string, string> } }[];
  const anew = stands.filter(({ Config }) => !reads.has(Config.Labels[hashLabel]!));
  const services = new Set(anew.map(({ Config }) => Config.Labels['com.docker.compose.service']));
  expect(services).toEqual(new Set(['api', 'backup', 'worker']));

  const brought = join(folder, 'brought');
  mkdirSync(brought);
  for (const name of ['.env', 'inference-mainpc.yaml']) cpSync(join(kit, name), join(brought, name));
  expect(rotate(brought, file, path).failed?.message).toContain('was brought here');
  expect(existsSync(join(brought, 'secrets'))).toBe(false);
}, 180_000);
