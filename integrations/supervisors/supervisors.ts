import { composeProgram, createCompose } from './compose.ts';
import type { Supervisors } from './supervisor.ts';
import { createSystemd, type SystemdOptions, systemdAnswers } from './systemd.ts';

/** What this host has; looked at each time, since either may come and go. */
export function createSupervisors(options: SystemdOptions): Supervisors {
  const systemd = createSystemd(options);
  return {
    systemd: async () => ((await systemdAnswers(options.scope)) ? systemd : undefined),
    async compose() {
      const words = await composeProgram();
      return words && createCompose({ ...options, words });
    },
  };
}
