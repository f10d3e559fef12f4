import { readdir, readFile, readlink, statfs } from 'node:fs/promises';
import { cpus, totalmem } from 'node:os';
import type { LiveMachine } from '../domain/readiness-inventory.ts';

const gib = 1024 ** 3;

/** What listens on this host, by /proc, with the processes as far as they may be seen; nothing listens where there is no /proc. */
export async function readLiveMachine(machine: string, folder: string): Promise<LiveMachine> {
  const disk = await statfs(folder);
  return {
    machine,
    listening: await readListening(),
    cores: cpus().length,
    memoryGiB: rounded(totalmem() / gib),
    freeDiskGiB: rounded((disk.bavail * disk.bsize) / gib),
  };
}

function rounded(amount: number): number {
  return Math.round(amount * 10) / 10;
}

/** All sockets of this host that listen. */
export async function readListening(): Promise<LiveMachine['listening']> {
  const tables = await Promise.all(
    (['tcp', 'tcp6', 'udp', 'udp6'] as const).map(async (name) => ({
      protocol: name.startsWith('tcp') ? ('tcp' as const) : ('udp' as const),
      text: await textOf(`/proc/net/${name}`),
    })),
  );
  const sockets = tables.flatMap(({ protocol, text }) => socketsOf(text, protocol));
  const names = await processNames(new Set(sockets.map(({ inode }) => inode)));
  return sockets.map(({ inode, ...socket }) => ({ ...socket, process: names.get(inode) ?? null }));
}

/** Lines of /proc/net/tcp and the like that listen: state 0A, of UDP those with no other side. */
function socketsOf(text: string, protocol: 'tcp' | 'udp') {
  return text
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      const [, local = '', remote = '', state, , , , , , inode = ''] = line.trim().split(/\s+/);
      const [address = '', port = ''] = local.split(':');
      if (port === '' || (protocol === 'tcp' ? state !== '0A' : !remote.endsWith(':0000'))) return [];
      return [{ protocol, address: addressOf(address), port: Number.parseInt(port, 16), inode }];
    });
}

/** The kernel writes each four bytes in the order of the host, which is little-endian on all that we run on. */
function addressOf(hex: string): string {
  const words = hex.match(/.{8}/g) ?? [];
  const bytes = words.flatMap((word) =>
    (word.match(/../g) ?? []).toReversed().map((byte) => Number.parseInt(byte, 16)),
  );
  if (bytes.length === 4) return bytes.join('.');
  if (bytes.every((byte) => byte === 0)) return '::';
  if (bytes.slice(0, 15).every((byte) => byte === 0) && bytes[15] === 1) return '::1';
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[i * 2]! << 8) | bytes[i * 2 + 1]!).toString(16));
  return groups.join(':');
}

async function processNames(inodes: ReadonlySet<string>): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for (const pid of await namesIn('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of await namesIn(`/proc/${pid}/fd`)) {
      const target = await readlink(`/proc/${pid}/fd/${fd}`).catch(gone);
      const inode = /^socket:\[(\d+)\]$/.exec(target ?? '')?.[1];
      if (inode === undefined || !inodes.has(inode)) continue;
      names.set(inode, (await textOf(`/proc/${pid}/comm`)).trim());
    }
  }
  return names;
}

/** Processes end while they are looked at, and those of others are not shown. */
function gone(err: NodeJS.ErrnoException): undefined {
  if (['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'EINVAL'].includes(err.code ?? '')) return undefined;
  throw err;
}

async function textOf(path: string): Promise<string> {
  return (await readFile(path, 'utf8').catch(gone)) ?? '';
}

async function namesIn(path: string): Promise<string[]> {
  return (await readdir(path).catch(gone)) ?? [];
}
