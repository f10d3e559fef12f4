import { existsSync, readFileSync } from 'node:fs';
import { openHome, writeDurably } from '../../deploy/embedded/home.ts';
import { beginRotation, endRotation, openSecrets } from '../../deploy/embedded/secrets.ts';
import { secretBoxOf } from '../../integrations/secret-box.ts';

/** Rotates without an end, as one start after the other does: whatever the one before left is ended first. */
const home = openHome({ SOULFRA_HOME: process.argv[2]! }, '/');
const row = home.path('sealed');

function reseal(): void {
  const { secretKey, secretKeyOld } = openSecrets(home);
  const box = secretBoxOf(secretKey, secretKeyOld)!;
  const secret = existsSync(row) ? box.open(readFileSync(row), 'row') : 'whsec_quiet';
  writeDurably(row, box.seal(secret, 'row'), 0o600);
}

for (;;) {
  reseal();
  if (openSecrets(home).secretKeyOld !== undefined) endRotation(home, openSecrets(home));
  process.stdout.write('.');
  beginRotation(home);
}
