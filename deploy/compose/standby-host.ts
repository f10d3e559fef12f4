import { join } from 'node:path';
import type { DeploySite } from '../../domain/deploy-site.ts';
import type { FleetMachine } from '../../domain/fleet.ts';
import { output } from '../embedded/resolve.ts';
import { applyContainers } from './apply.ts';
import { applyUnits, type UnitHost, unitsIn } from './apply-units.ts';
import { composeArguments, composeCommand } from './containers.ts';
import { readIfThere } from './folder.ts';
import { followingFile, type KitFiles, promotedFile, standbyFile } from './kit.ts';
import { answersAt, type StandbyHost } from './promote.ts';
import { promotedFolder } from './standby.ts';

/** How a standby is asked and brought up, as units of systemd and as containers. */

type Env = Readonly<Record<string, string | undefined>>;
type Say = (text: string) => void;

/** Over the longest of them: a promotion waits for the end of a recovery. */
const askMs = 150_000;

export function unitStandby(options: { folder: string; machine: FleetMachine; host: UnitHost; say: Say }): StandbyHost {
  const { folder, machine, host, say } = options;
  return {
    ask: async (...words) => {
      const script = join(folder, promotedFolder, 'standby-sql.sh');
      return (await output('/bin/bash', [script, ...words], { env: host.env, timeoutMs: askMs })).trim();
    },
    answers: answersAt,
    takeOver: async () => {
      await applyUnits({ folder, wanted: unitsIn(join(folder, promotedFolder), machine.id), host, say });
    },
  };
}

export function composeStandby(options: {
  folder: string;
  site: DeploySite;
  machine: FleetMachine;
  env: Env;
  say: Say;
}): StandbyHost {
  const { folder, site, machine, env, say } = options;
  return {
    ask: async (...words) => {
      const command = await composeCommand(env);
      const inside = ['exec', '-T', 'postgres', 'bash', '/etc/soulfra/standby-sql.sh', ...words];
      const args = composeArguments(command, folder, standbyFile, inside);
      return (await output(command[0]!, args, { env, timeoutMs: askMs })).trim();
    },
    answers: answersAt,
    takeOver: async () => {
      const files = promotedFilesOf(site, machine);
      await applyContainers({ folder, kit: kitIn(folder, files), site, machine, files, env, say });
    },
  };
}

/** Compose files of a machine once the standby has taken over: servers first. */
export function promotedFilesOf(site: DeploySite, { id }: FleetMachine): string[] {
  return [...(id === site.standby?.id ? [promotedFile] : []), followingFile(id)];
}

/** As the files lie in a folder that was brought here. */
export function kitIn(folder: string, files: readonly string[]): KitFiles {
  return new Map(
    files.flatMap((file) => {
      const text = readIfThere(join(folder, file));
      return text === undefined ? [] : [[file, text] as const];
    }),
  );
}
