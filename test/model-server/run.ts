import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { probeModelServer } from '../../integrations/inference/model-server-probe.ts';
import { type Subject, eventually, modelServerCases } from './cases.ts';
import { findOrBuildLlamaServer } from './llama-server.ts';
import { writeTinyGguf } from './tiny-gguf.ts';

/** `npm run test:model-server`: the cases that the double passes in the unit tests, once against a real llama.cpp server. */
const say = (line: string) => void process.stdout.write(`${line}\n`);

async function main(): Promise<number> {
  const program = await findOrBuildLlamaServer(say);
  const folder = await mkdtemp(join(tmpdir(), 'soulfra-model-server-'));
  const modelFile = join(folder, 'tiny.gguf');
  await writeTinyGguf(modelFile);
  const server = await startLlama(program, modelFile);
  let failed = 0;
  try {
    for (const { name, run } of modelServerCases) {
      const from = performance.now();
      try {
        await run(server.subject);
        say(`✔ ${name} (${Math.round(performance.now() - from)} ms)`);
      } catch (err) {
        failed += 1;
        say(`✖ ${name}\n${err instanceof Error ? err.stack : String(err)}`);
      }
    }
  } finally {
    await server.subject.crash();
    await rm(folder, { recursive: true });
  }
  const { version } = server;
  const passed = modelServerCases.length - failed;
  say(JSON.stringify({ server: 'llama.cpp', version, passed, failed }));
  return failed;
}

async function startLlama(program: string, modelFile: string): Promise<{ subject: Subject; version: string }> {
  const port = await freePort();
  const root = `http://127.0.0.1:${port}`;
  const slots = 2;
  const contextTokens = 8192;
  let child: ChildProcess | undefined;
  const subject: Subject = {
    kind: 'llamacpp',
    baseUrl: `${root}/v1`,
    model: 'tiny',
    slots,
    contextTokens,
    // A real server on a busy box pauses for seconds; a shorter limit would blame it rightly and fail the cases wrongly.
    stallMs: 6000,
    async running() {
      const answer = await fetch(`${root}/slots`);
      const states = (await answer.json()) as Array<{ is_processing: boolean }>;
      return states.filter((slot) => slot.is_processing).length;
    },
    async freeze() {
      child?.kill('SIGSTOP');
    },
    async thaw() {
      child?.kill('SIGCONT');
    },
    async crash() {
      if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
      const exited = once(child, 'exit');
      child.kill('SIGKILL');
      await exited;
    },
    async restore() {
      const place = ['--host', '127.0.0.1', '--port', String(port), '--alias', 'tiny', '--threads', '1'];
      const size = ['--ctx-size', String(contextTokens * slots), '--parallel', String(slots)];
      child = spawn(program, ['--model', modelFile, ...place, ...size], { stdio: 'ignore' });
      const up = async () => {
        if (child?.exitCode !== null) throw new Error(`llama-server ended with ${child?.exitCode}`);
        return (await probeModelServer(subject.baseUrl, subject.kind)).up;
      };
      await eventually(up, 'llama-server did not come up', 60_000);
    },
  };
  process.once('exit', () => child?.kill('SIGKILL'));
  await subject.restore();
  const { version = 'unknown' } = await probeModelServer(subject.baseUrl, subject.kind);
  return { subject, version };
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}

try {
  process.exitCode = (await main()) === 0 ? 0 : 1;
} catch (err) {
  say(`not run: ${err instanceof Error ? err.message : String(err)}`);
  process.exitCode = 1;
}
