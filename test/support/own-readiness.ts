import { join } from 'node:path';
import { readAccepted } from '../../config/accepted-findings.ts';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { readInventory } from '../../config/imports/inventory-reading.ts';
import type { Finding } from '../../domain/readiness.ts';
import { assessAll } from '../../domain/readiness-assessors.ts';
import type { ToolReport } from '../../domain/readiness-inventory.ts';
import { reportOf } from '../../domain/readiness-reports.ts';

type Look = Parameters<typeof readInventory>[1];

/** What `soulfra readiness . --local` finds in this repository; the tools of the host are for who has them installed. */
export async function ownFindings(
  root: string,
  look: Look = () => Promise.resolve<ToolReport[]>([]),
): Promise<Finding[]> {
  const fleet = loadFleetFile(join(root, 'fleet.yaml'));
  const request = { paths: [root], machineFiles: [], portRules: [], machines: fleet.machines, fleet };
  return assessAll(await readInventory(request, look, new AbortController().signal));
}

/** As it is accepted today, by the one file that says so. */
export function ownReport(root: string, findings: readonly Finding[]) {
  const acceptances = readAccepted(join(root, 'readiness.accepted.yaml'));
  return { acceptances, ...reportOf(findings, { acceptances, today: new Date().toISOString().slice(0, 10) }) };
}
