import { DomainError } from '../../domain/errors.ts';
import type { Gpu } from './nvidia-smi.ts';

const timeoutMs = 5_000;
const mostBytes = 4 * 2 ** 20;
const mib = 2 ** 20;

/**
 * The cards that an nvidia_gpu_exporter tells of, in the order of their index.
 * @param url of its metrics, such as http://gpu-box:9835/metrics
 */
export async function readGpuExporter(url: string): Promise<Gpu[]> {
  let text: string;
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(timeoutMs), redirect: 'error' });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    text = await response.text();
  } catch (cause) {
    throw new DomainError('UNAVAILABLE', `the exporter of cards at ${url} does not answer`, { cause });
  }
  if (text.length > mostBytes)
    throw new DomainError('UNAVAILABLE', `what ${url} tells is over ${mostBytes} characters`);
  return parseGpuExporter(text);
}

/** @throws UNAVAILABLE where the text tells of no card, or its last look at them failed */
export function parseGpuExporter(text: string): Gpu[] {
  const byCard = new Map<string, Map<string, number>>();
  const info = new Map<string, Record<string, string>>();
  let failed = false;
  for (const line of text.split('\n')) {
    const match = /^nvidia_smi_(\w+)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const [, name, inner = '', value] = match;
    if (name === 'last_collect_success') failed ||= Number(value) === 0;
    const labels = Object.fromEntries(
      [...inner.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key!, text!]),
    );
    const { uuid } = labels;
    if (uuid === undefined) continue;
    if (name === 'gpu_info') info.set(uuid, labels);
    const values = byCard.get(uuid) ?? new Map<string, number>();
    values.set(name!, Number(value));
    byCard.set(uuid, values);
  }
  if (failed) throw new DomainError('UNAVAILABLE', 'the exporter could not read its cards');
  if (byCard.size === 0)
    throw new DomainError('UNAVAILABLE', 'the exporter names no card: it is not nvidia_gpu_exporter’s text');
  return [...byCard]
    .map(([uuid, values], place): Gpu => {
      const finite = (name: string): number | null => {
        const value = values.get(name);
        return value === undefined || !Number.isFinite(value) ? null : value;
      };
      const scaled = (name: string, by: number) => {
        const value = finite(name);
        return value === null ? null : value * by;
      };
      const { name = '', driver_version: driver = '', index } = info.get(uuid) ?? {};
      return {
        index: Number(index ?? finite('index') ?? place),
        uuid,
        name,
        driver,
        memoryTotalMiB: scaled('memory_total_bytes', 1 / mib),
        memoryUsedMiB: scaled('memory_used_bytes', 1 / mib),
        memoryFreeMiB: scaled('memory_free_bytes', 1 / mib),
        utilizationPercent: scaled('utilization_gpu_ratio', 100),
        temperatureC: finite('temperature_gpu'),
        powerW: finite('power_draw_watts'),
      };
    })
    .sort((a, b) => a.index - b.index);
}
