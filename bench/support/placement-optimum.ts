import type { Highs } from 'highs';
import type { PlacementInput } from '../../domain/placement-input.ts';
import { rateAt } from '../../domain/rates.ts';
import { footprint } from '../../domain/vram.ts';

/**
 * The whole placement problem as a mixed-integer program, written from the input alone and sharing no search with the planner: binary
 * y(model, gpu, sequences), served(model, priority) ≤ its demand, Σ served of a model ≤ Σ rate(sequences) × y, memory per GPU, sequences
 * per machine.
 */
export interface Optimum {
  /** Σ priority × tokens/s of the best plan found. */
  value: number;
  /** No plan is worth more: equal to `value` where proven. */
  bound: number;
  proven: boolean;
}

const relativeGap = 1e-6;

/** The package's types describe its CommonJS form, where the loader is one `default` deeper than in the module that Node loads. */
export async function loadSolver(): Promise<Highs> {
  const { default: load } = (await import('highs')) as unknown as { default: () => Promise<Highs> };
  return load();
}

export function solveOptimum(highs: Highs, input: PlacementInput, limitSeconds: number): Optimum {
  return highs.withModel({ format: 'lp', data: lpOf(input) }, (model) => {
    model.options.set({ output_flag: false, time_limit: limitSeconds, mip_rel_gap: relativeGap, mip_abs_gap: 1e-9 });
    model.run();
    const proven = model.getModelStatus() === highs.constants.modelStatus.optimal;
    const value = model.getObjectiveValue();
    const bound = Number(model.info.get('mip_dual_bound'));
    return { value, bound, proven };
  });
}

interface Column {
  name: string;
  gpu: string;
  machine: string;
  gib: number;
  sequences: number;
  rate: number;
}

function lpOf(input: PlacementInput): string {
  const demands = new Map<string, Map<number, number>>();
  for (const agent of input.agents) {
    const tiers = demands.get(agent.modelId) ?? new Map<number, number>();
    demands.set(agent.modelId, tiers.set(agent.priority, (tiers.get(agent.priority) ?? 0) + agent.tokensPerSecond));
  }
  const objective: string[] = [];
  const rows: string[] = [];
  const bounds: string[] = [];
  const binaries: string[] = [];
  const byGpu = new Map<string, Column[]>();
  const byMachine = new Map<string, Column[]>();
  input.models.forEach((model, v) => {
    const { fixedGiB, sequenceGiB } = footprint(model);
    const all: Column[] = [];
    input.machines.forEach((machine, m) => {
      machine.gpus.forEach((gpu, g) => {
        const rate = model.rates[gpu.class];
        if (!rate) return;
        const own: Column[] = [];
        for (let b = 1; b <= machine.sequences; b += 1) {
          const gib = fixedGiB + b * sequenceGiB;
          if (gib > gpu.vramGiB - gpu.reserveGiB) break;
          const column = {
            name: `y_${v}_${m}_${g}_${b}`,
            gpu: `${m}_${g}`,
            machine: `${m}`,
            gib,
            sequences: b,
            rate: rateAt(rate, b),
          };
          own.push(column);
          binaries.push(column.name);
        }
        if (own.length > 0) rows.push(`one_${v}_${m}_${g}: ${own.map((c) => c.name).join(' + ')} <= 1`);
        all.push(...own);
      });
    });
    for (const column of all) {
      byGpu.set(column.gpu, [...(byGpu.get(column.gpu) ?? []), column]);
      byMachine.set(column.machine, [...(byMachine.get(column.machine) ?? []), column]);
    }
    const served: string[] = [];
    for (const [priority, amount] of demands.get(model.id) ?? []) {
      const name = `s_${v}_${String(priority).replace('.', 'p')}`;
      served.push(name);
      objective.push(`${priority} ${name}`);
      bounds.push(`0 <= ${name} <= ${amount}`);
    }
    if (served.length > 0) {
      rows.push(`rate_${v}: ${served.join(' + ')} ${all.map((c) => `- ${c.rate} ${c.name}`).join(' ')} <= 0`);
    }
  });
  input.machines.forEach((machine, m) => {
    machine.gpus.forEach((gpu, g) => {
      const columns = byGpu.get(`${m}_${g}`) ?? [];
      if (columns.length > 0)
        rows.push(
          `mem_${m}_${g}: ${columns.map((c) => `${c.gib} ${c.name}`).join(' + ')} <= ${gpu.vramGiB - gpu.reserveGiB}`,
        );
    });
    const columns = byMachine.get(`${m}`) ?? [];
    if (columns.length > 0)
      rows.push(`seq_${m}: ${columns.map((c) => `${c.sequences} ${c.name}`).join(' + ')} <= ${machine.sequences}`);
  });
  return `Maximize\n obj: ${objective.join(' + ')}\nSubject To\n ${rows.join('\n ')}\nBounds\n ${bounds.join('\n ')}\nBinary\n ${binaries.join('\n ')}\nEnd\n`;
}
