import { readdirSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { ApiClient } from './api-client.ts';
import type { CycleFigures } from './cycle.ts';
import type { Home } from './home.ts';
import type { Ports } from './ports.ts';

interface FleetView {
  machines: Array<{
    id: string;
    gpus: Array<{ name: string; vramGiB: number }>;
    runsAs: string;
    models: string[];
    slots: number;
    agents: number;
    state: string;
  }>;
}
interface ReflectionView {
  id: string;
  agentId: string;
  text: string;
  source: string;
  evidence?: unknown[];
}

export interface LastScreen {
  api: ApiClient;
  home: Home;
  ports: Ports;
  cwd: string;
  /** Parts that run outside have no port of ours. */
  outside: { postgres: boolean; redis: boolean; temporal: boolean };
  cycle: CycleFigures | undefined;
  /** Where mail lies that no server sends; undefined: one does. */
  mailbox: string | undefined;
  /** Port of its page, where it runs. */
  prometheus: number | undefined;
  readySeconds: number;
}

/** Everything here is read from the run or measured in it. */
export async function lastScreen(of: LastScreen): Promise<string> {
  const { api, ports, outside } = of;
  const fleet = await api.get<FleetView>('/fleet');
  const latest = await api.get<{ items: ReflectionView[] }>('/reflections?limit=1');
  const reflection = latest.items[0] && (await api.get<ReflectionView>(`/reflections/${latest.items[0].id}`));
  const { token } = await api.post<{ token: string }>('/tokens', { kind: 'once' });
  const part = (name: string, port: number, isOutside = false) => `✔ ${name} ${isOutside ? 'outside' : `:${port}`}`;
  const parts = [
    part('Postgres', ports.postgres, outside.postgres),
    part('Redis', ports.redis, outside.redis),
    part('Temporal', ports.temporal, outside.temporal),
    part('API', ports.api),
  ].join('  ');
  const shown = (path: string) => (relative(of.cwd, path).startsWith('..') ? path : `./${relative(of.cwd, path)}`);
  const data = shown(of.home.dir);
  const lines = [
    `${parts}    ${Math.round(of.readySeconds)} s · ${diskMegabytes(of.home.dir)} MB · data ${data}`,
    ...machineTable(fleet),
  ];
  if (of.cycle) lines.push(cycleLine(of.cycle, reflection?.source));
  if (reflection) {
    const evidence = reflection.evidence?.length ?? 0;
    lines.push(
      `  ${reflection.agentId}: "${shorten(reflection.text, 160)}"  ← ${evidence} memories     (soulfra reflections explain ${reflection.id})`,
    );
  }
  if (of.mailbox !== undefined) lines.push(`Mail lies in ${shown(of.mailbox)} (soulfra mail list); SMTP_URL sends it`);
  const ui = `${outside.temporal ? '' : `   Temporal UI :${ports.temporalUi}`}${of.prometheus === undefined ? '' : `   Prometheus :${of.prometheus}`}`;
  lines.push(
    `Open http://localhost:${ports.api}/#once=${token}   API /docs${ui}   Stop Ctrl-C   Start over: npm start -- --reset`,
    `Next: npx soulfra fleet kill ${fleet.machines[0]?.id ?? 'MACHINE'} · soulfra models use ollama --agents 5 · npm start -- --empty`,
  );
  return lines.join('\n');
}

function machineTable(fleet: FleetView): string[] {
  const rows = fleet.machines.map((machine) => [
    machine.id,
    machine.gpus.map((gpu) => `${gpu.name} ${gpu.vramGiB}G`).join(', ') || '-',
    machine.runsAs,
    machine.runsAs === 'simulated' ? 'extractive' : machine.models.join(', ') || '-',
    String(machine.slots),
    String(machine.agents),
    machine.state,
  ]);
  const table = [['MACHINE', 'GPU', 'RUNS AS', 'MODELS', 'SLOTS', 'AGENTS', 'STATE'], ...rows];
  const widths = table[0]!.map((_, column) => Math.max(...table.map((row) => row[column]!.length)));
  return table.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
}

function cycleLine(cycle: CycleFigures, source: string | undefined): string {
  const degraded = cycle.degraded > 0 ? ` · ${cycle.degraded} degraded` : '';
  const label = source === 'extractive' ? ' · extractive: quotes its memories, no model used' : '';
  return `Reflections ${cycle.reflections}/${cycle.agents} · ${cycle.failed} failed${degraded}${label}`;
}

function shorten(text: string, length: number): string {
  return text.length <= length ? text : `${text.slice(0, length - 1).trimEnd()}…`;
}

/** What the folder takes on the disk, in MB of 10^6 bytes. */
function diskMegabytes(folder: string): number {
  let blocks = 0;
  const add = (path: string) => {
    // Files of a running database come and go between the listing and the look.
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined) return;
    blocks += stat.blocks;
    if (stat.isDirectory()) for (const name of readdirSync(path)) add(join(path, name));
  };
  add(folder);
  return Math.round((blocks * 512) / 1e6);
}
