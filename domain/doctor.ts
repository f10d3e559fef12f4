import type { FieldError } from './errors.ts';

/** What `soulfra doctor` says of one thing. Readers bring what they saw; the judgements here and in the files beside are pure. */
export const checkStates = ['ok', 'warn', 'fail', 'skipped'] as const;
export type CheckState = (typeof checkStates)[number];

export interface Check {
  /** What was looked at, such as `postgres_settings`. */
  id: string;
  /** The machine that it is of; null: the host that the command runs on, or the installation. */
  machine: string | null;
  state: CheckState;
  detail: string;
  /** A command to run or a line to change; null where nothing is amiss. */
  mend: string | null;
}

/** What a reader brought, or why it could bring nothing. */
export type Reading<T> = { seen: T } | { error: string };

export const ok = (id: string, detail: string, machine: string | null = null): Check => ({
  id,
  machine,
  state: 'ok',
  detail,
  mend: null,
});
export const skipped = (id: string, detail: string, machine: string | null = null): Check => ({
  id,
  machine,
  state: 'skipped',
  detail,
  mend: null,
});
export const amiss = (
  state: 'warn' | 'fail',
  id: string,
  detail: string,
  mend: string,
  machine: string | null = null,
): Check => ({ id, machine, state, detail, mend });

export interface Summary {
  ok: number;
  warn: number;
  fail: number;
  skipped: number;
}

export function summaryOf(checks: readonly Check[]): Summary {
  const count = (state: CheckState) => checks.filter((check) => check.state === state).length;
  return { ok: count('ok'), warn: count('warn'), fail: count('fail'), skipped: count('skipped') };
}

export interface DiskReading {
  /** Where it was asked for. */
  path: string;
  freeGiB: number;
  totalGiB: number;
}

/** Below this a database stops taking writes soon. */
const leastDiskGiB = 1;
const lowDiskGiB = 5;
/** A small disk that is nearly full is worse than a large one with as much left. */
const lowDiskPart = 0.05;

export function judgeDisk(disks: readonly DiskReading[], machine: string | null = null): Check {
  const tight = disks.filter(({ freeGiB, totalGiB }) => freeGiB < lowDiskGiB || freeGiB < totalGiB * lowDiskPart);
  const words = (rows: readonly DiskReading[]) =>
    rows
      .map(({ path, freeGiB, totalGiB }) => `${path}: ${freeGiB.toFixed(1)} of ${totalGiB.toFixed(1)} GiB free`)
      .join('; ');
  if (tight.length === 0) return ok('disk', words(disks), machine);
  const state = tight.some(({ freeGiB }) => freeGiB < leastDiskGiB) ? 'fail' : 'warn';
  const mend = `Free space there (du -xh --max-depth=2 ${tight[0]!.path} | sort -h | tail), or lower \`retention\` in fleet.yaml.`;
  return amiss(state, 'disk', words(tight), mend, machine);
}

/** From here on times in lists and logs of different machines stand in the wrong order. */
const skewWarnSeconds = 2;
/** From here on schedules, tokens and signatures go by another time than the rest of the fleet. */
const skewFailSeconds = 30;

/** @param offsetMs this clock less the database's; @param roundTripMs how exactly it is known */
export function judgeClock(offsetMs: number, roundTripMs: number, machine: string | null = null): Check {
  const seconds = Math.max(0, Math.abs(offsetMs) - roundTripMs / 2) / 1000;
  const way = offsetMs > 0 ? 'ahead of' : 'behind';
  if (seconds < skewWarnSeconds) {
    return ok('clock', `within ${(Math.abs(offsetMs) / 1000).toFixed(1)} s of the database's`, machine);
  }
  const state = seconds >= skewFailSeconds ? 'fail' : 'warn';
  const mend = 'Set the clock by the network there: sudo timedatectl set-ntp true (systemd-timesyncd or chrony).';
  return amiss(state, 'clock', `${seconds.toFixed(0)} s ${way} the database's`, mend, machine);
}

export interface FileMode {
  path: string;
  /** Permission bits. */
  mode: number;
}

/** A file or folder that is there and cannot be read. */
export interface Unreadable {
  path: string;
  why: string;
  /** Whether who runs the command may not; else what stands there is broken. */
  denied: boolean;
}

/** What of the data folder is made anew, by the end of its path; the rest only a backup has. */
const madeAnew: Readonly<Record<string, string>> = {
  'ports.json': 'the next npm start takes ports anew',
  'version.json': 'the next npm start writes it',
  'run/parts.json': 'end by hand what still runs (ps), as the next npm start then knows nothing of it',
};

/** @param there whether there is a data folder */
export function judgeHome(folder: string, there: boolean, unreadable: readonly Unreadable[]): Check {
  const [first] = unreadable;
  if (first === undefined)
    return there ? ok('home', folder) : skipped('home', `there is no ${folder}: nothing was started here`);
  const anew = Object.entries(madeAnew).find(([end]) => first.path.endsWith(`/${end}`));
  const mend = first.denied
    ? `Run it as who runs npm start (ls -l ${first.path} names them), or give it to yourself: sudo chown "$USER" ${first.path}`
    : anew === undefined
      ? `Put ${first.path} back from a backup: it is not made anew.`
      : `rm ${first.path}; ${anew[1]}.`;
  return amiss('fail', 'home', unreadable.map(({ path, why }) => `${path}: ${why}`).join('; '), mend);
}

export interface BackupReading {
  folder: string;
  /** Age of the newest whole one in seconds; null: there is none. */
  newestAge: number | null;
  /** How long there has been something to back up, in seconds. */
  dataAge: number;
  /** Those whose archive is missing or has another size. */
  faulty: readonly string[];
  /** What opens them: the file's state; null: a passphrase does. */
  key: { path: string; there: boolean; mode: number } | null;
}

/** Of a fleet that runs for a while one a day is made. */
const backupOldSeconds = 36 * 3600;

/** @param reading null: there is no data folder, or its databases are others' */
export function judgeBackups(reading: BackupReading | null): Check {
  if (reading === null) return skipped('backups', 'there are no databases of `npm start` here');
  const { folder, newestAge, dataAge, faulty, key } = reading;
  if (newestAge === null && dataAge < backupOldSeconds)
    return skipped('backups', `none was made yet: the fleet is younger than a day and a half; by hand: soulfra backup`);
  if (newestAge === null)
    return amiss('warn', 'backups', `there is none in ${folder}`, 'Make one: soulfra backup (docs/backup.md).');
  if (key !== null && !key.there)
    return amiss(
      'fail',
      'backups',
      `${key.path} is missing: nothing opens them`,
      `Put ${key.path} back from where you keep its copy.`,
    );
  if (key !== null && (key.mode & 0o077) !== 0)
    return amiss('fail', 'backups', `${key.path} may be read by others`, `chmod 600 ${key.path}`);
  if (faulty.length > 0)
    return amiss(
      'warn',
      'backups',
      `not whole: ${faulty.join(', ')}`,
      'See soulfra backups list; a second copy may be whole.',
    );
  const hours = newestAge / 3600;
  if (newestAge > backupOldSeconds)
    return amiss(
      'warn',
      'backups',
      `the newest is ${hours.toFixed(0)} h old`,
      'Make one: soulfra backup; soulfra health says why none came.',
    );
  return ok(
    'backups',
    `the newest is ${hours < 1 ? `${Math.round(newestAge / 60)} min` : `${hours.toFixed(0)} h`} old, in ${folder}`,
  );
}

/** Nobody but its owner may read what is secret. */
export function judgeSecrets(files: readonly FileMode[]): Check {
  if (files.length === 0) return skipped('secrets', 'no secret files here yet');
  const open = files.filter(({ mode }) => (mode & 0o077) !== 0);
  if (open.length === 0) return ok('secrets', `${files.length} files, for their owner alone`);
  const words = open.map(({ path, mode }) => `${path} has mode ${(mode & 0o777).toString(8).padStart(4, '0')}`);
  return amiss('fail', 'secrets', words.join('; '), `chmod 600 ${open.map(({ path }) => path).join(' ')}`);
}

export interface PortReading {
  part: string;
  port: number;
  listening: boolean;
  /** Whether what listens answers as the part does. Undefined: not asked. */
  ours?: boolean;
  /** Who listens, where it can be told, such as `node (4711)`. */
  holder?: string;
}

/** @param running whether `npm start` runs here now */
export function judgePorts(ports: readonly PortReading[], running: boolean): Check {
  if (ports.length === 0) return skipped('ports', 'none taken here yet: npm start takes a block of 20 from 17000 on');
  const strange = ports.filter(({ listening, ours }) => listening && (ours === false || !running));
  const at = ({ part, port, holder }: PortReading) =>
    `${port} (${part}) is taken by ${holder ?? 'another program'}, which is not ours`;
  if (strange.length > 0) {
    const mend = strange[0]!.holder?.match(/\((\d+)\)$/)?.[1];
    return amiss(
      running ? 'fail' : 'warn',
      'ports',
      strange.map(at).join('; '),
      `${mend === undefined ? 'End what listens there' : `End it (kill ${mend})`}, then npm start; else npm start takes the next free block.`,
    );
  }
  if (!running) return ok('ports', `${ports[0]!.port}–${ports.at(-1)!.port} are free; npm start does not run`);
  return ok('ports', ports.map(({ part, port }) => `${part} ${port}`).join(', '));
}

export interface VersionReading {
  /** Of this checkout. */
  app: string;
  node: string;
  /** What the data folder says wrote it; undefined: nothing has. */
  data?: string | undefined;
  /** What the API says it is; undefined: it does not answer. */
  api?: string | undefined;
}

const leastNode = 24;

/** @param compare as of two versions: below 0 where the first is older */
export function judgeVersions(
  { app, node, data, api }: VersionReading,
  compare: (a: string, b: string) => number,
): Check[] {
  const checks: Check[] = [];
  const major = Number(/^v?(\d+)/.exec(node)?.[1] ?? 0);
  checks.push(
    major >= leastNode
      ? ok('node', node)
      : amiss(
          'fail',
          'node',
          `${node}; ${leastNode} or newer is needed`,
          'npm ci (brings Node 24 on linux), else nodejs.org.',
        ),
  );
  if (data !== undefined && compare(data, app) > 0) {
    const detail = `the data was written by ${data}; this is ${app}`;
    checks.push(amiss('fail', 'app', detail, `Go back to ${data}: git checkout v${data} && npm ci.`));
  } else if (api !== undefined && api !== app) {
    const detail = `the API is ${api}; this command is ${app}`;
    checks.push(amiss('warn', 'app', detail, 'Restart it with npm start, or run the command in its checkout.'));
  } else {
    checks.push(ok('app', [app, api === undefined ? '' : 'the API is the same'].filter(Boolean).join(', ')));
  }
  return checks;
}

export function judgeFleetFile(
  path: string,
  read: { machines: number; agents: number } | { errors: readonly (FieldError & { line?: number })[] } | null,
): Check {
  if (read === null) {
    return amiss(
      'warn',
      'fleet_file',
      `there is no ${path} here`,
      'soulfra export > fleet.yaml, or name it with --file.',
    );
  }
  if (!('errors' in read)) return ok('fleet_file', `${path}: ${read.machines} machines, ${read.agents} agents`);
  const [first] = read.errors;
  const more = read.errors.length > 1 ? ` (${read.errors.length} errors; soulfra config check ${path} lists them)` : '';
  const at = first?.line === undefined ? path : `${path}:${first.line}`;
  const what = first === undefined ? 'is not valid' : `${first.path === '' ? 'file' : first.path} ${first.rule}`;
  return amiss('fail', 'fleet_file', `${at} ${what}${more}`, first?.mend ?? 'Mend the file.');
}
