import { tmpdir } from 'node:os';
import type { Logger } from 'pino';
import { appVersion } from '../config/app-version.ts';
import type { MachineReport } from '../domain/doctor-machines.ts';
import { probeGpus } from '../integrations/gpu/nvidia-smi.ts';
import { readDisks } from '../integrations/host/disks.ts';
import type { MachineReportStore } from '../stores/machine-reports.ts';
import type { MachineModels } from './model-calls.ts';

const everyMs = 60_000;

/** Writes down once a minute what the host of this machine is like, for `soulfra doctor` elsewhere. */
export function reportMachine({
  machineId,
  ownHost,
  models,
  fleetVersion,
  reports,
  log,
}: {
  machineId: string;
  /** Whether the worker runs on the machine itself and not only in its stead. */
  ownHost: () => boolean;
  models: MachineModels;
  /** That the worker goes by. */
  fleetVersion: () => number;
  reports: MachineReportStore;
  log: Logger;
}) {
  const app = appVersion();

  async function read(): Promise<MachineReport> {
    const { offsetMs, roundTripMs } = await reports.clockOffset();
    const held = await models.versions.report();
    return {
      app,
      node: process.version,
      clockOffsetMs: offsetMs,
      clockRoundTripMs: roundTripMs,
      disks: readDisks([process.cwd(), tmpdir()]),
      gpus: ownHost() ? await gpusOf() : null,
      modelServer: await models.probeServer(),
      fleetVersion: fleetVersion(),
      ...(held === undefined ? {} : { models: held }),
    };
  }

  function report(): void {
    reporting ??= read()
      .then((seen) => reports.report(machineId, seen))
      .catch((err: unknown) => log.warn({ err }, 'the host was not reported'))
      .finally(() => {
        reporting = undefined;
      });
  }

  let stopped = false;
  let reporting: Promise<void> | undefined;
  report();
  const timer = setInterval(report, everyMs);
  return {
    /** Something of it has changed: resolves once that is written down. */
    async now(): Promise<void> {
      await reporting;
      if (!stopped) report();
      await reporting;
    },
    async stop(): Promise<void> {
      stopped = true;
      clearInterval(timer);
      await reporting;
    },
  };
}

async function gpusOf(): Promise<MachineReport['gpus']> {
  try {
    return { seen: await probeGpus() };
  } catch (err) {
    return { error: err instanceof Error ? err.message : String(err) };
  }
}
