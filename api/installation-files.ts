import { X509Certificate } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Fleet } from '../domain/fleet.ts';
import type { FigureSample } from '../stores/queries/figures.ts';

/** What files of the API's host say of backups and certificates; one that is not there yet says nothing. */
export async function readInstallationFiles(
  settings: Pick<Fleet['metrics'], 'backupStamp' | 'restoreDrillStamp' | 'certificates'>,
  onFailure: (err: unknown, path: string) => void,
): Promise<FigureSample[]> {
  const { backupStamp, restoreDrillStamp, certificates } = settings;
  const changed = (figure: string, path: string | undefined) =>
    tell(path, async (file) => ({ figure, labels: {}, value: (await stat(file)).mtimeMs / 1000 }));
  const told = await Promise.all([
    changed('backup', backupStamp),
    changed('restoreDrill', restoreDrillStamp),
    ...certificates.map((path) =>
      tell(path, async (file) => ({
        figure: 'certificate',
        labels: { certificate: basename(file) },
        // Of a chain the first, which is the server's own.
        value: new X509Certificate(await readFile(file)).validToDate.getTime() / 1000,
      })),
    ),
  ]);
  return told.flat();

  async function tell(
    path: string | undefined,
    read: (file: string) => Promise<FigureSample>,
  ): Promise<FigureSample[]> {
    if (path === undefined) return [];
    try {
      return [await read(path)];
    } catch (err) {
      onFailure(err, path);
      return [];
    }
  }
}
