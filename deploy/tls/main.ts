import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { homeEnvironment } from '../../config/environment.ts';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import { addAuthority, readAuthorities } from './authority-files.ts';
import { fingerprintOf, readCertificate } from './authority.ts';

/**
 * `node deploy/tls/main.ts status|rotate-ca [--folder FOLDER]`: what `soulfra tls` starts. The edge looks at the folder every few
 * seconds, so nothing else is told. One line of JSON on stdout: `{result}` or `{failed}`.
 */
const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);

async function run(): Promise<object> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { folder: { type: 'string' } } });
  const folder = resolve(values.folder ?? join(homeEnvironment().home, 'tls'));
  const [act] = positionals;
  if (readAuthorities(folder).length === 0)
    throw new DomainError('CONFLICT', `${folder} holds no authority: the first \`soulfra machine invite\` makes one`);
  if (act === 'rotate-ca') {
    if (readAuthorities(folder).length > 1)
      throw new DomainError(
        'CONFLICT',
        'two generations live already: wait until nothing goes by the older one (soulfra tls status)',
      );
    await addAuthority(folder);
  } else if (act !== 'status')
    throw new DomainError('INVALID_INPUT', `not known: ${act ?? 'nothing'}; status or rotate-ca`);
  const server = join(folder, 'server.pem');
  return {
    folder,
    authorities: readAuthorities(folder).map(({ generation, certificate }) => ({
      generation,
      fingerprint: fingerprintOf(certificate),
      ...readCertificate(certificate),
    })),
    hasServer: existsSync(server),
  };
}

try {
  say({ result: await run() });
} catch (err) {
  const [code, message] = isDomainError(err)
    ? [err.code, err.message]
    : ['INTERNAL', err instanceof Error ? err.message : String(err)];
  say({
    failed: { code, message, mend: isDomainError(err) && err.code !== 'CONFLICT' ? errorTable[err.code].mend : null },
  });
  process.exitCode = 1;
}
