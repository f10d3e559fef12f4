import { existsSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Env, type Home, writeText } from './home.ts';
import { installedDebianRedis, unpackDebianRedis } from './redis-debian.ts';
import type { PartSpec } from './parts.ts';
import { type Attempt, firstThatWorks, isExecutable, onPath, output } from './resolve.ts';
import type { Step } from './screen.ts';

const compileLimitMs = 10 * 60_000;

export type RedisFound = { url: string } | RedisBinary;
export interface RedisBinary {
  binary: string;
  /** Where its libraries lie, if not with the host's own. */
  libraries?: string;
}

export async function resolveRedis(env: Env, home: Home, step: Step) {
  return firstThatWorks<RedisFound>(
    'Redis',
    [
      {
        name: 'REDIS_URL',
        try: async () => {
          const url = env['REDIS_URL'];
          return url ? { found: { url }, why: 'REDIS_URL is set' } : { skipped: 'not set' };
        },
      },
      ...['redis-server', 'valkey-server'].map((program) => ({
        name: `\`${program}\` on PATH`,
        try: async (): Promise<Attempt<RedisFound>> => {
          const binary = onPath(program, env);
          return binary === undefined ? { skipped: 'not there' } : judge({ binary }, `\`${program}\` is on PATH`);
        },
      })),
      { name: 'Debian package', try: () => fromDebian(env, home, step) },
      { name: 'npm redis-memory-server', try: () => compiled(home, step) },
    ],
    mendFor(env),
  );
}

function mendFor(env: Env): string {
  if (process.platform === 'darwin') return 'brew install redis';
  if (onPath('apt-get', env)) return 'sudo apt-get install -y redis-server';
  if (onPath('dnf', env)) return 'sudo dnf install -y redis';
  return 'install redis-server or valkey-server, or set REDIS_URL';
}

async function judge(found: RedisBinary, why: string): Promise<Attempt<RedisFound>> {
  const env = found.libraries === undefined ? process.env : { ...process.env, LD_LIBRARY_PATH: found.libraries };
  const text = await output(found.binary, ['--version'], { env, timeoutMs: 20_000 });
  const version = /v=(\S+)/.exec(text)?.[1];
  return version === undefined
    ? { skipped: `does not say its version: ${text.trim()}` }
    : { found, why: `${why}, ${version}` };
}

async function fromDebian(env: Env, home: Home, step: Step): Promise<Attempt<RedisFound>> {
  const folder = join(home.cache, 'redis', 'debian');
  const kept = installedDebianRedis(folder);
  if (kept) return judge(kept, 'Debian package in our cache');
  for (const program of ['apt-get', 'apt-cache', 'dpkg-deb', 'dpkg-query', 'ldd']) {
    if (onPath(program, env) === undefined) return { skipped: `there is no \`${program}\` here` };
  }
  return judge(await unpackDebianRedis(folder, env, step), 'Debian package unpacked into our cache');
}

/** The package fetches Redis' sources and compiles them; in a child process, so that it can be given up. */
async function compiled(home: Home, step: Step): Promise<Attempt<RedisFound>> {
  const folder = join(home.cache, 'redis', 'compiled');
  mkdirSync(folder, { recursive: true });
  const kept = findProgram(folder);
  if (kept) return judge({ binary: kept }, 'compiled before, in our cache');
  const since = Date.now();
  const watch = setInterval(() => {
    step.progress(
      `fetching and compiling its sources, since no package was found: ${Math.round((Date.now() - since) / 1000)} s`,
    );
  }, 500);
  try {
    const script = fileURLToPath(new URL('./redis-compile.ts', import.meta.url));
    await output(process.execPath, [script, folder], { timeoutMs: compileLimitMs });
  } catch (err) {
    rmSync(folder, { recursive: true, force: true });
    throw err;
  } finally {
    clearInterval(watch);
  }
  const binary = findProgram(folder);
  return binary === undefined
    ? { skipped: 'it left no program' }
    : judge({ binary }, 'compiled by npm redis-memory-server');
}

function findProgram(folder: string): string | undefined {
  if (!existsSync(folder)) return undefined;
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  return files.map((file) => join(folder, file)).find((file) => file.endsWith('/redis-server') && isExecutable(file));
}

export interface RedisOptions {
  found: RedisBinary;
  folder: string;
  port: number;
  password: string;
  env: Env;
  databases?: number;
}

/** Nothing is kept on disk: Redis holds only what can be rebuilt. */
export function redisPart(options: RedisOptions): PartSpec {
  mkdirSync(options.folder, { recursive: true });
  const file = join(options.folder, 'redis.conf');
  const settings = [
    'bind 127.0.0.1',
    `port ${options.port}`,
    `requirepass ${options.password}`,
    'save ""',
    'appendonly no',
    `dir ${JSON.stringify(options.folder)}`,
    'daemonize no',
    `databases ${options.databases ?? 16}`,
    'maxmemory 256mb',
    'maxmemory-policy allkeys-lru',
  ];
  // A file and not arguments: every user can read a process's arguments.
  writeText(file, `${settings.join('\n')}\n`, 0o600);
  const { libraries, binary } = options.found;
  return {
    name: 'redis',
    order: 1,
    command: binary,
    args: [file],
    env: libraries === undefined ? options.env : { ...options.env, LD_LIBRARY_PATH: libraries },
    stopSignal: 'SIGTERM',
    graceMs: 5000,
    startAttempts: 3,
    readyWithinMs: 20_000,
    ready: () => answersPing(options.port, options.password),
  };
}

export function redisUrl(at: { port: number; password: string; database?: number }): string {
  return `redis://:${encodeURIComponent(at.password)}@127.0.0.1:${at.port}/${at.database ?? 0}`;
}

async function answersPing(port: number, password: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ port, host: '127.0.0.1' });
    let text = '';
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => end(false));
    socket.once('error', () => end(false));
    socket.once('close', () => end(false));
    socket.once('connect', () => socket.write(`AUTH ${password}\r\nPING\r\n`));
    socket.setEncoding('utf8').on('data', (chunk: string) => {
      text += chunk;
      if (text.includes('+PONG')) end(true);
      else if (text.includes('-')) end(false);
    });
  });
}
