import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { cliEnvironment } from '../../config/environment.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { createApiClient } from '../embedded/api-client.ts';

/** `node deploy/compose/first-fleet.ts FILE`: applies a fleet where none lives yet; from then on `soulfra apply` decides. */

const file = process.argv[2];
const { url, token } = cliEnvironment();
if (file === undefined || url === undefined || token === undefined)
  throw new TypeError('a file, SOULFRA_URL and SOULFRA_TOKEN are needed');
loadFleetFile(file);
const api = createApiClient({ url, token });
const versions = await api.get<{ items: unknown[] }>('/fleet/versions?limit=1');
if (versions.items.length > 0) process.stdout.write('a fleet lives here already\n');
else {
  await api.post('/fleet/apply', { source: readFileSync(file, 'utf8') }, randomUUID());
  process.stdout.write('the fleet is applied\n');
}
