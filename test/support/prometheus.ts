import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { until } from './lab.ts';
import { lacks } from './not-run.ts';

/** Debian's names: its Alertmanager is called after its package. */
export const programs = {
  prometheus: 'prometheus',
  promtool: 'promtool',
  alertmanager: 'prometheus-alertmanager',
  amtool: 'amtool',
} as const;

/** For `test.skipIf(lacksPrometheus('…'))`. */
export function lacksPrometheus(test: string): boolean {
  const has = Object.values(programs).every((program) => spawnSync(program, ['--version']).error === undefined);
  return lacks(
    { test, needs: 'Prometheus and Alertmanager', command: 'apt-get install prometheus prometheus-alertmanager' },
    has,
  );
}

export interface Ran {
  ok: boolean;
  text: string;
}

export function ran(program: keyof typeof programs, args: readonly string[], cwd?: string): Ran {
  const { status, stdout, stderr } = spawnSync(programs[program], args, { encoding: 'utf8', cwd });
  return { ok: status === 0, text: `${stdout}${stderr}` };
}

export interface RunningServer {
  url: string;
  /** Host and port. */
  address: string;
  stop: () => Promise<void>;
}

/** Ports that were free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** The real Prometheus, its data in `folder`. */
export async function startPrometheusServer(folder: string, config: (self: number) => string): Promise<RunningServer> {
  const port = await freePort();
  const file = join(folder, 'prometheus.yaml');
  writeFileSync(file, config(port));
  return started(programs.prometheus, port, '/-/ready', [
    `--config.file=${file}`,
    `--storage.tsdb.path=${join(folder, 'data')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--log.level=warn',
  ]);
}

/** The real Alertmanager, alone. */
export async function startAlertmanager(folder: string, config: string): Promise<RunningServer> {
  const port = await freePort();
  const file = join(folder, 'alertmanager.yaml');
  writeFileSync(file, config);
  return started(programs.alertmanager, port, '/-/ready', [
    `--config.file=${file}`,
    `--storage.path=${join(folder, 'alertmanager')}`,
    `--web.listen-address=127.0.0.1:${port}`,
    '--cluster.listen-address=',
    '--log.level=warn',
  ]);
}

async function started(
  program: string,
  port: number,
  readyPath: string,
  args: readonly string[],
): Promise<RunningServer> {
  const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let told = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (told += text));
  const url = `http://127.0.0.1:${port}`;
  const stop = async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill('SIGTERM');
    await once(child, 'exit');
  };
  try {
    await until(`${program} is ready`, async () => {
      if (child.exitCode !== null) throw new Error(`${program} ended: ${told}`);
      return fetch(`${url}${readyPath}`).then(
        ({ ok }) => ok,
        () => false,
      );
    });
  } catch (err) {
    await stop();
    throw err;
  }
  return { url, address: `127.0.0.1:${port}`, stop };
}

/** How many series an expression has now; throws where Prometheus refuses it. */
export async function seriesOf(url: string, expr: string): Promise<number> {
  const asked = await fetch(`${url}/api/v1/query`, { method: 'POST', body: new URLSearchParams({ query: expr }) });
  const answer = (await asked.json()) as { status: string; error?: string; data: { result: unknown[] } };
  if (answer.status !== 'success') throw new Error(`${expr}: ${answer.error}`);
  return answer.data.result.length;
}
