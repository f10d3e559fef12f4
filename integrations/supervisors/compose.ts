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

  /** Containers of its project, each with the file that it was made from. */
  async function containersOf(serviceId: string): Promise<Array<{ state: string; status: string; file: string }>> {
    const label = `label=com.docker.compose.project=${projectNameOf(serviceId)}`;
    const format = '{{.State}}\t{{.Status}}\t{{.Label "com.docker.compose.project.config_files"}}';
    const listed = await runProgram('docker', ['ps', '--all', '--filter', label, '--format', format]);
    if (listed.code !== 0) throw new Error(`docker ps: ${saidBy(listed)}`);
    return listed.stdout
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => {
        const [state = '', status = '', file = ''] = line.split('\t');
        return { state, status, file: file.trim() };
      });
  }

  /** Another Soulfra on this host, or somebody else, has a project of this name. */
  const isOther = (serviceId: string, { file }: { file: string }) => file !== '' && file !== fileOf(serviceId);

  async function look(serviceId: string): Promise<SupervisedState> {
    const own = (await containersOf(serviceId)).find((container) => !isOther(serviceId, container));
    const { state, status } = own ?? { state: '', status: '' };
    if (state === 'running') return { state: 'running', reason: '' };
    if (state === 'restarting' || state === 'created') return { state: 'starting', reason: status };
    if (state === '') return { state: 'stopped', reason: 'it has no container' };
    return { state: status.startsWith('Exited (0)') ? 'stopped' : 'failed', reason: status };
  }

  return {
    async start(service) {
      const { id } = service;
      const other = (await containersOf(id)).find((container) => isOther(id, container));
      if (other !== undefined)
        throw new NotStarted(
          `there is a compose project ${projectNameOf(id)} of ${other.file}; remove it, or give the service another id`,
        );
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
