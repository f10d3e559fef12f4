import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { composeText, ownerOfProject, projectNameOf } from '../../domain/service-units.ts';
import { type CommandResult, runProgram, saidBy } from './commands.ts';
import { readIfThere, removeIfThere, writeWhole } from './files.ts';
import { NotStarted, type SupervisedState, type Supervisor } from './supervisor.ts';

/** Images may have to be fetched. */
const upMs = 600_000;
const downMs = 120_000;

/** The words that compose goes by on this host; undefined where there is none, or Docker does not answer. */
export async function composeProgram(): Promise<string[] | undefined> {
  if ((await runProgram('docker', ['info', '--format', '{{.ID}}'], { timeoutMs: 10_000 })).code !== 0) return undefined;
  for (const words of [['docker', 'compose'], ['docker-compose']]) {
    const [program, ...args] = words;
    if ((await runProgram(program!, [...args, 'version'], { timeoutMs: 10_000 })).code === 0) return words;
  }
  return undefined;
}

/** Services as compose projects of one service each. */
export function createCompose({
  machineId,
  dataFolder,
  words,
}: {
  machineId: string;
  dataFolder: string;
  words: readonly string[];
}): Supervisor {
  const folderOf = (serviceId: string) => join(dataFolder, projectNameOf(serviceId));
  const fileOf = (serviceId: string) => join(folderOf(serviceId), 'compose.json');

  function compose(serviceId: string, args: readonly string[], timeoutMs: number): Promise<CommandResult> {
    const [program, ...first] = words;
    const project = ['--project-name', projectNameOf(serviceId), '--file', fileOf(serviceId)];
    return runProgram(program!, [...first, ...project, ...args], { timeoutMs });
  }

  async function look(serviceId: string): Promise<SupervisedState> {
    const label = `label=com.docker.compose.project=${projectNameOf(serviceId)}`;
    const listed = await runProgram('docker', [
      'ps',
      '--all',
      '--filter',
      label,
      '--format',
      '{{.State}}\t{{.Status}}',
    ]);
    if (listed.code !== 0) throw new Error(`docker ps: ${saidBy(listed)}`);
    const [state = '', status = ''] = listed.stdout.trim().split('\n')[0]!.split('\t');
    if (state === 'running') return { state: 'running', reason: '' };
    if (state === 'restarting' || state === 'created') return { state: 'starting', reason: status };
    if (state === '') return { state: 'stopped', reason: 'it has no container' };
    return { state: status.startsWith('Exited (0)') ? 'stopped' : 'failed', reason: status };
  }

  return {
    async start(service) {
      const { id } = service;
      await writeWhole(fileOf(id), composeText(service));
      // What runs as described stays; what is described otherwise is made anew.
      const up = await compose(id, ['up', '--detach', '--remove-orphans'], upMs);
      if (up.code !== 0) throw new NotStarted(`compose does not start it: ${saidBy(up)}`);
    },

    async stop(serviceId) {
      const owner = ownerOfProject((await readIfThere(fileOf(serviceId))) ?? '');
      if (owner?.machineId !== machineId) return;
      const down = await compose(serviceId, ['down', '--remove-orphans'], downMs);
      if (down.code !== 0) throw new Error(`compose does not stop ${serviceId}: ${saidBy(down)}`);
      // Last, so that whoever ends before it finds the project again.
      await removeIfThere(folderOf(serviceId));
    },

    look,
    lookAll: (serviceIds) => Promise.all(serviceIds.map(look)),

    async own() {
      const found: string[] = [];
      for (const name of await foldersIn(dataFolder)) {
        const owner = ownerOfProject((await readIfThere(join(dataFolder, name, 'compose.json'))) ?? '');
        if (owner?.machineId === machineId && projectNameOf(owner.serviceId) === name) found.push(owner.serviceId);
      }
      return found;
    },
  };
}

async function foldersIn(folder: string): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    return entries.flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])).sort();
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw err;
  }
}
