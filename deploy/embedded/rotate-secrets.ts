import { existsSync } from 'node:fs';
import { homeEnvironment } from '../../config/environment.ts';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import { given, openHome } from './home.ts';
import { beginRotation } from './secrets.ts';

/** `node deploy/embedded/rotate-secrets.ts`: what `soulfra secrets rotate` starts. One line of JSON on stdout: `{result}` or `{failed}`. */
const say = (line: object) => void process.stdout.write(`${JSON.stringify(line)}\n`);

try {
  const { home } = homeEnvironment(process.env);
  if (!existsSync(home)) throw new DomainError('CONFLICT', `there is no ${home}: run it where npm start runs`);
  for (const name of ['SOULFRA_SECRET_KEY', 'SOULFRA_WEBHOOK_KEY'])
    if (given(process.env, name))
      throw new DomainError(
        'CONFLICT',
        `${name} is the environment’s own, and is changed there (deploy/runbooks/07-rotate-keys.md)`,
      );
  beginRotation(openHome(process.env, process.cwd()));
  say({ result: {} });
} catch (err) {
  const code = isDomainError(err) ? err.code : 'INTERNAL';
  const message = err instanceof Error ? err.message : String(err);
  say({ failed: { code, message, mend: code === 'CONFLICT' ? null : errorTable[code].mend } });
  process.exitCode = 1;
}
