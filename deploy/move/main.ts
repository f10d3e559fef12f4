import { parseArgs } from 'node:util';
import { appVersion } from '../../config/app-version.ts';
import { backupEnvironment, doctorEnvironment } from '../../config/environment.ts';
import { serverTls } from '../../config/tls.ts';
import { bringIn } from './bring-in.ts';
import { openSeal } from '../backup/seal.ts';

/** `node deploy/move/main.ts ARCHIVE`: a job of the kit, before the API begins. Run again it finds that all is done. */

const { positionals } = parseArgs({ allowPositionals: true });
const { databaseUrl, tlsFiles } = doctorEnvironment();
const { keyFile } = backupEnvironment();
const [archive] = positionals;
if (archive === undefined || databaseUrl === undefined) throw new TypeError('an archive and DATABASE_URL are needed');
const brought = await bringIn({
  archive,
  url: databaseUrl,
  tls: serverTls(tlsFiles)?.postgres,
  seal: await openSeal({ keyFile, passphrase: undefined }, { make: false }),
  app: appVersion(),
  progress: (text) => void process.stdout.write(`${text}\n`),
});
process.stdout.write(`${JSON.stringify(brought)}\n`);
