import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { accepts } from '../deploy/embedded/ports.ts';
import type { PortReading } from '../domain/doctor.ts';
import type { HomeFacts } from './home.ts';

/** Of /proc/net/tcp. */
const listeningState = '0A';

/** Who listens on the ports that belong to this data folder. @param answered parts that answered as what they are */
export async function readPorts(home: HomeFacts, answered: ReadonlySet<string>): Promise<PortReading[]> {
  if (home.ports === undefined) return [];
  const { base: _base, workerMetrics: _workers, ...ports } = home.ports;
  const holders = holdersOf(Object.values(ports));
  return Promise.all(
    Object.entries(ports).map(async ([part, port]): Promise<PortReading> => {
      const listening = await accepts('127.0.0.1', port);
      const holder = holders.get(port);
      const known = holder !== undefined && home.parts.some(({ pid }) => pid === holder.pid);
      const ours = answered.has(part) || known ? true : holder === undefined ? undefined : false;
      return {
        part,
        port,
        listening,
        ...(ours === undefined ? {} : { ours }),
        ...(holder === undefined ? {} : { holder: `${holder.name} (${holder.pid})` }),
      };
    }),
  );
}

interface Holder {
  pid: number;
  name: string;
}

/** By the kernel's tables; nothing where there are none, or where the process is another user's. */
function holdersOf(ports: readonly number[]): Map<number, Holder> {
  const found = new Map<number, Holder>();
  if (process.platform !== 'linux') return found;
  const portOfInode = new Map<string, number>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    for (const row of linesOf(table).slice(1)) {
      const [, local = '', , state, , , , , , inode = ''] = row.trim().split(/\s+/);
      const port = Number.parseInt(local.split(':').at(-1) ?? '', 16);
      if (state === listeningState && ports.includes(port)) portOfInode.set(`socket:[${inode}]`, port);
    }
  }
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    if (found.size === portOfInode.size) break;
    for (const target of socketsOf(pid)) {
      const port = portOfInode.get(target);
      if (port !== undefined && !found.has(port))
        found.set(port, { pid: Number(pid), name: linesOf(`/proc/${pid}/comm`)[0] ?? 'a process' });
    }
  }
  return found;
}

function socketsOf(pid: string): string[] {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      const target = linkOf(`/proc/${pid}/fd/${fd}`);
      return target?.startsWith('socket:') ? [target] : [];
    });
  } catch (err) {
    return ignoreGone(err, []);
  }
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (err) {
    return ignoreGone(err, undefined);
  }
}

function linesOf(path: string): string[] {
  try {
    return readFileSync(path, 'utf8').split('\n');
  } catch (err) {
    return ignoreGone(err, []);
  }
}

/** A process may end while it is looked at, and those of other users show nothing. */
function ignoreGone<T>(err: unknown, instead: T): T {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes((err as NodeJS.ErrnoException).code ?? '')) return instead;
  throw err;
}
