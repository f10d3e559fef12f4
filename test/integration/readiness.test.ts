import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Lab, openLab, openLabServers, until } from '../support/lab.ts';

/** Servers of its own: it freezes and kills them. */
let base: Awaited<ReturnType<typeof openLabServers>>;
let lab: Lab;
let url: string;

beforeAll(async () => {
  base = await openLabServers();
  lab = await openLab(base.addresses, { logs: `${base.folder}/logs` });
  ({ url } = await lab.startApi(base.servers.ports.api));
}, 120_000);
afterAll(async () => {
  await lab?.close();
  await base?.close();
});

const parts = ['postgres', 'temporal', 'redis'] as const;
type Part = (typeof parts)[number];

async function ready(): Promise<{ status: number; down: string[]; detail: string }> {
  const response = await fetch(`${url}/v1/health/ready`);
  const body = (await response.json()) as { detail?: string; parts: Record<Part, { state: string }> };
  return {
    status: response.status,
    down: parts.filter((part) => body.parts[part].state === 'down'),
    detail: body.detail ?? '',
  };
}

/** The part with all processes it has started: a frozen Postgres alone goes on answering by those. */
function processesOf(part: Part): number[] {
  const pid = base.servers.list().find(({ name }) => name === part)!.pid!;
  const found = [pid];
  for (const parent of found) {
    const children = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' });
    for (const row of children.trim().split('\n')) {
      const [child, of] = row.trim().split(/\s+/).map(Number);
      if (of === parent && !found.includes(child!)) found.push(child!);
    }
  }
  return found;
}
function signalAll(part: Part, signal: NodeJS.Signals): void {
  for (const pid of processesOf(part)) process.kill(pid, signal);
}

async function named(part: Part): Promise<void> {
  await until(`503 names ${part}`, async () => (await ready()).status === 503, 10_000);
  const seen = await ready();
  expect(seen).toMatchObject({ status: 503, down: [part] });
  expect(seen.detail).toMatch(new RegExp(`^${part}: `));
  expect((await fetch(`${url}/v1/health/live`)).status).toBe(200);
}
async function recovered(): Promise<void> {
  await until('ready again', async () => (await ready()).status === 200, 30_000);
}

test.each(parts)('503 names %s within 10 s of its freezing and of its death, and ends by itself', async (part) => {
  await recovered();
  signalAll(part, 'SIGSTOP');
  try {
    await named(part);
  } finally {
    signalAll(part, 'SIGCONT');
  }
  await recovered();
  await base.servers.kill(part);
  await named(part);
  await base.servers.start(part);
  await recovered();
});
