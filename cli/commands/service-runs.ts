import { setTimeout as sleep } from 'node:timers/promises';
import { isAbsolute, resolve } from 'node:path';
import type { Command } from 'commander';
import { serviceEnvironment } from '../../config/environment.ts';
import { addTrusted, readTrustFile, trustOf } from '../../config/trust-file.ts';
import { storedService } from '../../domain/services.ts';
import type { ServiceAction } from '../../domain/states.ts';
import { CommandFailure, exitCodes } from '../failures.ts';
import { bold, confirm, dim, good, line, plain, printJson, styledState, table, warn } from '../output.ts';
import { sessionOf } from '../program.ts';

interface Asked {
  requestId: string | null;
  waves: Array<Array<{ id: string; action: ServiceAction; machineId: string | null }>>;
}
interface Run {
  requestId: string;
  state: string;
  reason: string;
  machineId: string | null;
}
interface RunService {
  id: string;
  run: Run | null;
}

const ended = ['started', 'stopped', 'failed'];
const lookEveryMs = 1_000;
const mostServices = 5_000;

const descriptions: Record<ServiceAction, string> = {
  start: 'start services after what they need, wave by wave; without ids all',
  stop: 'stop services after what needs them; without ids all',
  restart: 'stop services with what needs them, and start them again; without ids all',
};

/** Below `soulfra services`. */
export function serviceRunCommands(services: Command): void {
  for (const action of ['start', 'stop', 'restart'] as const) {
    services
      .command(action)
      .argument('[service...]', 'ids of services')
      .option('--dry-run', 'show the waves; change nothing')
      .option('--no-wait', 'do not wait until it is done')
      .description(descriptions[action])
      .action(
        async (ids: string[], { dryRun = false, wait }: { dryRun?: boolean; wait: boolean }, command: Command) => {
          const { client, json } = sessionOf(command);
          const body = ids.length === 0 ? {} : { services: ids };
          const asked = await client.post<Asked>(`/services/${action}`, body, dryRun ? { dryRun } : {});
          if (dryRun || !wait || asked.requestId === null) {
            if (json) return printJson(asked);
            return line(waveLines(asked, action).join('\n'));
          }
          if (!json) line(waveLines(asked, action).join('\n'));
          const wanted = new Set(asked.waves.flat().map(({ id }) => id));
          const result = await settled(
            async () =>
              (await client.list<RunService>('/services', {}, mostServices)).items.filter(({ id }) => wanted.has(id)),
            asked.requestId,
          );
          if (json) printJson(result);
          else line(runTable(result));
          const failed = result.filter(({ run }) => run?.state === 'failed');
          if (failed.length > 0)
            throw new CommandFailure(`${failed.length} of ${result.length} services are not as asked`, {
              exitCode: exitCodes.failed,
            });
        },
      );
  }

  services
    .command('trust')
    .argument('<service>', 'id of the service')
    .option('--folder <folder>', 'where the repository that was imported lies on this machine', '.')
    .option('--env <name>', 'a variable of the worker that the service is given; repeat it', collect, [])
    .description('agree, on this machine, to run the command that the fleet describes; it is asked first')
    .action(async (id: string, { folder, env }: { folder: string; env: string[] }, command: Command) => {
      const session = sessionOf(command);
      const { trustFile } = serviceEnvironment();
      const file = readTrustFile(trustFile);
      const shown = await session.client.get<{ spec: unknown }>(`/services/${encodeURIComponent(id)}`);
      const spec = storedService(shown.spec);
      const known = trustOf(file, spec);
      const { command: words, image, workingDirectory } = spec;
      const ports = image === undefined ? [] : spec.ports;
      if (words === undefined && image === undefined)
        throw new CommandFailure(`${id} has neither a command nor an image in fleet.d`, { exitCode: exitCodes.failed });
      const place = resolve(folder);
      const before = file.services.find((entry) => entry.id === id);
      const entry = {
        ...(before?.user === undefined ? {} : { user: before.user }),
        ...(before?.limits === undefined ? {} : { limits: before.limits }),
        id,
        ...(words === undefined ? {} : { command: words }),
        ...(image === undefined ? {} : { image }),
        ...(ports.length === 0
          ? {}
          : {
              ports: ports.map(({ port, protocol, address, containerPort }) => ({
                port,
                ...(protocol === undefined ? {} : { protocol }),
                ...(address === undefined ? {} : { address }),
                ...(containerPort === undefined ? {} : { containerPort }),
              })),
            }),
        ...(workingDirectory === undefined ? {} : { workingDirectory }),
        folder: place,
        environment: env,
      };
      if (!session.json) {
        line(bold(id));
        if (image !== undefined) line(`  image      ${plain(image)}`);
        for (const { port, containerPort = port, protocol = 'tcp', address = 'every address' } of ports)
          line(`  port       ${port}/${protocol} of ${plain(address)}, ${containerPort} inside`);
        // Each word by itself: a space within one must not look like two.
        if (words !== undefined) line(`  command    ${words.map((word) => plain(JSON.stringify(word))).join(' ')}`);
        line(
          `  folder     ${plain(isAbsolute(workingDirectory ?? '') ? workingDirectory! : resolve(place, workingDirectory ?? '.'))}`,
        );
        line(`  variables  ${env.join(', ') || dim('none')}`);
        if ('changed' in known && known.changed) line(warn('  it is another command than was agreed to before'));
      }
      if (!(await confirm(`Run this on this machine whenever the fleet asks for ${id}?`, session))) return;
      addTrusted(trustFile, entry);
      if (session.json) return printJson({ id, trustFile });
      line(`${good('✔')} ${trustFile}`);
    });
}

function collect(value: string, before: string[]): string[] {
  return [...before, value];
}

function waveLines({ waves }: Asked, action: ServiceAction): string[] {
  if (waves.length === 0) return ['Nothing to do.'];
  const shown = action === 'stop' ? waves.toReversed() : waves;
  return shown.map((wave, i) => {
    const names = wave.map(({ id, action: own, machineId }) => {
      const verb = own === action ? '' : `${own} `;
      return `${verb}${id}${machineId === null ? '' : dim(` ${machineId}`)}`;
    });
    return `${dim(`${action} ${i + 1}`)}  ${names.join(', ')}`;
  });
}

/** Those of them that a later request has taken over count as ended: it decides. */
async function settled(read: () => Promise<RunService[]>, requestId: string): Promise<RunService[]> {
  for (;;) {
    const found = await read();
    const open = found.filter(({ run }) => run?.requestId === requestId && !ended.includes(run.state));
    // A restart passes through `stopped` on its way.
    if (open.length === 0) return found;
    await sleep(lookEveryMs);
  }
}

function runTable(services: readonly RunService[]): string {
  return table(services, [
    ['SERVICE', ({ id }) => id],
    ['RUN', ({ run }) => styledState(run?.state ?? '-')],
    ['MACHINE', ({ run }) => run?.machineId ?? '-'],
    ['REASON', ({ run }) => plain(run?.reason ?? '') || '-'],
  ]);
}
