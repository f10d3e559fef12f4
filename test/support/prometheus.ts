import { spawnSync } from 'node:child_process';
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
