import { parseArgs } from 'node:util';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { backupEnvironment } from '../../config/environment.ts';
import { appVersion } from '../../config/app-version.ts';
import { DomainError } from '../../domain/errors.ts';
import { openHome } from '../embedded/home.ts';
import { answer } from './answer.ts';
import { compareFile, readArchive } from './archive.ts';
import { createBackup, databaseOf, type Progress } from './create.ts';
import { drillRestore } from './drill.ts';
import { restoreBackup } from './restore.ts';
import { openSeal } from './seal.ts';
import { findArchive, readShelf } from './shelf.ts';
import { backupIdSchema } from '../../domain/backups.ts';

/**
 * `node deploy/backup/main.ts create|list|verify|restore|drill`: what `soulfra` and the workers start. A process of its own, so
 * that sealing takes no turn from a worker, and whoever waits for it can end it. Lines of JSON on stdout: `{progress}`, then
 * `{result}` or `{failed}`.
 */

const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);

const progress: Progress = (() => {
  let saidAt = 0;
  let saidText = '';
  return (text, share) => {
    const now = Date.now();
    if (text === saidText && now - saidAt < 500) return;
    saidAt = now;
    saidText = text;
    say({ progress: text, share: share ?? null });
  };
})();

async function run(): Promise<object> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { to: { type: 'string' }, into: { type: 'string' }, id: { type: 'string' } },
  });
  const [act, wanted = 'newest'] = positionals;
  const settings = backupEnvironment();
  const folders = [values.to === undefined ? settings.folder : resolve(values.to)];
  const env = process.env;
  const sealed = (make: boolean) => openSeal(settings, { make });
  /** Of a fleet that runs: nothing is made, no key and no folder, where there is none. */
  const home = () => {
    if (!existsSync(settings.home))
      throw new DomainError('CONFLICT', `there is no ${settings.home}: run it where \`npm start\` runs`);
    const opened = openHome({ ...env, SOULFRA_HOME: settings.home }, '/');
    databaseOf(opened);
    return opened;
  };
  switch (act) {
    case 'create': {
      const made = await createBackup({
        home: home(),
        folder: folders[0]!,
        folders: [settings.folder],
        seal: sealed,
        id: values.id === undefined ? undefined : backupIdSchema.parse(values.id),
        alone: values.to !== undefined,
        app: appVersion(),
        progress,
      });
      return made;
    }
    case 'list':
      return { folder: folders[0]!, items: folders.flatMap(readShelf) };
    case 'verify': {
      const { archive, record } = findArchive(wanted, folders);
      progress('comparing its bytes');
      if (record !== undefined) await compareFile(archive, record.archive);
      progress('opening it');
      const { id, madeAt, entries, ledger, tables } = await readArchive(archive, await sealed(false));
      return { archive, id, madeAt, entries: entries.length, tables: Object.keys(tables).length, ledger };
    }
    case 'restore':
      return restoreBackup({
        wanted,
        folders,
        into: values.into === undefined ? settings.home : resolve(values.into),
        seal: await sealed(false),
        env,
        progress,
      });
    case 'drill':
      return drillRestore({ home: home(), wanted, folders, seal: await sealed(false), env, id: values.id, progress });
    default:
      throw new TypeError(`unknown: ${act ?? 'nothing to do'}`);
  }
}

await answer(run);
