import { join } from 'node:path';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { deploySite } from '../../domain/deploy-site.ts';
import { repositoryRoot } from '../embedded/own-parts.ts';
import { type PortRow, portRows } from './kit.ts';

/** Between these lines docs/deploy.md is made by `npm run gen`. */
const marks = { from: '<!-- ports: generated -->', to: '<!-- ports: end -->' };

/** The reference pair with a model server on each, the second of them the standby: every port that there can be. */
export function referenceRows(): PortRow[] {
  const fleet = structuredClone(loadFleetFile(join(repositoryRoot, 'fleet.yaml')));
  const [first] = fleet.machines;
  for (const { modelServer } of fleet.machines) if (modelServer) modelServer.url = 'http://127.0.0.1:11434/v1';
  fleet.deploy.addresses = Object.fromEntries(
    fleet.machines.map(({ id }, i) => [id, `10.8.0.${fleet.machines.length - i}`]),
  );
  fleet.deploy.standby = first!.id;
  return portRows(deploySite(fleet));
}

export function deployPage(page: string): string {
  const [before, rest] = page.split(`${marks.from}\n`);
  const after = rest?.split(marks.to)[1];
  if (after === undefined) throw new Error(`docs/deploy.md has no ${marks.from} … ${marks.to}`);
  const rows = referenceRows().map(
    ({ machineId, port, address, service, file, reason }) =>
      `| ${machineId} | ${address}:${port} | \`${service}\` of \`${file}\` | ${reason} |`,
  );
  const table = ['| machine | opens | part | why |', '|---|---|---|---|', ...rows].join('\n');
  return `${before}${marks.from}\n${table}\n${marks.to}${after}`;
}
