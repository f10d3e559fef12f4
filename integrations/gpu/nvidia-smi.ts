import { execFile } from 'node:child_process';
import { DomainError } from '../../domain/errors.ts';

export interface Gpu {
  index: number;
  uuid: string;
  name: string;
  driver: string;
  /** Null where the card does not say, for instance where it shares the memory of the host. */
  memoryTotalMiB: number | null;
  memoryUsedMiB: number | null;
  memoryFreeMiB: number | null;
  utilizationPercent: number | null;
  temperatureC: number | null;
  powerW: number | null;
}

export interface CommandResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}
/** Resolves to null where there is no such program. */
export type RunCommand = (file: string, args: string[], timeoutMs: number) => Promise<CommandResult | null>;

const fields = [
  'index',
  'uuid',
  'name',
  'driver_version',
  'memory.total',
  'memory.used',
  'memory.free',
  'utilization.gpu',
  'temperature.gpu',
  'power.draw',
] as const;
const timeoutMs = 5000;

/** The NVIDIA cards of this host: none where there is no driver; a driver that fails or hangs is an error. */
export async function probeGpus(run: RunCommand = runCommand): Promise<Gpu[]> {
  const args = [`--query-gpu=${fields.join(',')}`, '--format=csv,noheader,nounits'];
  const result = await run('nvidia-smi', args, timeoutMs);
  if (result === null) return [];
  const said = `${result.stdout}\n${result.stderr}`.trim();
  if (/no devices were found/i.test(said)) return [];
  if (result.exitCode !== 0) {
    throw new DomainError('UNAVAILABLE', `nvidia-smi failed (exit ${result.exitCode}): ${said.slice(0, 400)}`);
  }
  return result.stdout
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map(parseRow);
}

function parseRow(line: string): Gpu {
  const cells = line.split(',').map((cell) => cell.trim());
  const index = Number(cells[0]);
  if (cells.length !== fields.length || !Number.isInteger(index)) {
    throw new DomainError('UNAVAILABLE', `nvidia-smi printed a row that is not understood: ${line.slice(0, 200)}`);
  }
  return {
    index,
    uuid: cells[1] ?? '',
    name: cells[2] ?? '',
    driver: cells[3] ?? '',
    memoryTotalMiB: number(cells[4]),
    memoryUsedMiB: number(cells[5]),
    memoryFreeMiB: number(cells[6]),
    utilizationPercent: number(cells[7]),
    temperatureC: number(cells[8]),
    powerW: number(cells[9]),
  };
}

/** `[N/A]`, `[Not Supported]`, `[Unknown Error]` and the like are all "does not say". */
function number(cell: string | undefined): number | null {
  return cell !== undefined && /^-?\d+(\.\d+)?$/.test(cell) ? Number(cell) : null;
}

const runCommand: RunCommand = (file, args, timeout) =>
  new Promise((resolve, reject) => {
    execFile(file, args, { timeout, killSignal: 'SIGKILL', encoding: 'utf8' }, (err, stdout, stderr) => {
      if (err === null) return resolve({ exitCode: 0, stdout, stderr });
      if (err.code === 'ENOENT') return resolve(null);
      if (err.killed === true) {
        return reject(new DomainError('UNAVAILABLE', `nvidia-smi did not answer within ${timeout} ms`, { cause: err }));
      }
      return resolve({ exitCode: typeof err.code === 'number' ? err.code : 1, stdout, stderr: stderr || err.message });
    });
  });
