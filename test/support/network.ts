import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** A network of its own with one cable to this host, as another box has it: root, Linux and `ip` are needed. */
export interface Network {
  /** This host's end of the cable. */
  here: string;
  there: string;
  /** These words, to be run in it. */
  inIt(...words: string[]): string[];
  close(): void;
}

const prefix = 'sfrnet';

/** @returns undefined where this host cannot make one */
export function openNetwork(): Network | undefined {
  if (process.getuid?.() !== 0) return undefined;
  endStale();
  const name = `${prefix}${process.pid}`;
  // Of 10.98.0.0/16 four addresses for each process.
  const base = (process.pid % 2 ** 14) * 4;
  const address = (last: number) => `10.98.${base >> 8}.${(base & 255) + last}`;
  const [here, there] = [address(1), address(2)];
  const steps = [
    ['netns', 'add', name],
    ['link', 'add', name, 'type', 'veth', 'peer', 'name', 'cable', 'netns', name],
    ['addr', 'add', `${here}/30`, 'dev', name],
    ['link', 'set', name, 'up'],
    ['-n', name, 'addr', 'add', `${there}/30`, 'dev', 'cable'],
    ['-n', name, 'link', 'set', 'cable', 'up'],
    ['-n', name, 'link', 'set', 'lo', 'up'],
  ];
  const close = () => void spawnSync('ip', ['netns', 'del', name]);
  if (!steps.every((step) => spawnSync('ip', step).status === 0)) {
    close();
    return undefined;
  }
  return { here, there, inIt: (...words) => ['ip', 'netns', 'exec', name, ...words], close };
}

/** Of processes that were killed. */
function endStale(): void {
  const { stdout } = spawnSync('ip', ['netns', 'list'], { encoding: 'utf8' });
  for (const [name, pid] of (stdout ?? '').matchAll(new RegExp(`^${prefix}(\\d+)`, 'gm')))
    if (!existsSync(`/proc/${pid}`)) spawnSync('ip', ['netns', 'del', name]);
}

/** Of the network of a process: what listens there, and whom it talks to, as `/proc` has it. */
export function socketsOf(tables: string): { listening: string[]; peers: string[] } {
  const rows = [...tables.matchAll(/^ *\d+: ([0-9A-F]+:[0-9A-F]+) ([0-9A-F]+:[0-9A-F]+) ([0-9A-F]{2}) /gm)];
  const state = (wanted: string) => rows.filter(([, , , state]) => state === wanted);
  return {
    listening: state('0A').map(([, own]) => addressOf(own!)),
    peers: [...new Set(state('01').map(([, , peer]) => addressOf(peer!)))],
  };
}

function addressOf(text: string): string {
  const [address = '', port = ''] = text.split(':');
  // IPv4 alone, and IPv4 in IPv6, end in four bytes, the last first.
  const bytes = address.slice(-8).match(/../g)!.toReversed();
  return `${bytes.map((byte) => Number.parseInt(byte, 16)).join('.')}:${Number.parseInt(port, 16)}`;
}
