import { expect, test } from 'vitest';
import { parseGpuExporter } from '../../integrations/gpu/exporter.ts';

const card = (
  uuid: string,
  index: number,
) => `nvidia_smi_gpu_info{driver_version="550.1",index="${index}",name="RTX, \\"odd\\"",uuid="${uuid}"} 1
nvidia_smi_memory_total_bytes{uuid="${uuid}"} 2.5769803776e+10
nvidia_smi_power_draw_watts{uuid="${uuid}"} NaN
nvidia_smi_utilization_gpu_ratio{uuid="${uuid}"} 0.5
`;

test('cards come in the order of their index, and what one does not say is null', () => {
  const gpus = parseGpuExporter(`nvidia_smi_last_collect_success 1\n${card('b', 1)}${card('a', 0)}`);
  expect(gpus.map(({ uuid, index }) => [uuid, index])).toEqual([
    ['a', 0],
    ['b', 1],
  ]);
  expect(gpus[0]).toMatchObject({ memoryTotalMiB: 24_576, powerW: null, temperatureC: null, utilizationPercent: 50 });
});

test('an exporter that could not read its cards, or is none, is an error and no host without cards', () => {
  expect(() => parseGpuExporter(`nvidia_smi_last_collect_success 0\n${card('a', 0)}`)).toThrow('could not read');
  expect(() => parseGpuExporter('<html>moved</html>')).toThrow('names no card');
});
