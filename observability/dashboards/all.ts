import type { Dashboard } from '@grafana/grafana-foundation-sdk/dashboard';
import { agentsDashboard } from './agents.ts';
import { dropsDashboard } from './drops.ts';
import { fleetDashboard } from './fleet.ts';
import { marketplaceDashboard } from './marketplace.ts';
import { temporalDashboard } from './temporal.ts';

/** Each with the name of its file in deploy/grafana/dashboards, in the order in which they are made. */
export const dashboards: ReadonlyArray<{ file: string; build: () => Dashboard }> = [
  { file: 'fleet.json', build: fleetDashboard },
  { file: 'agents.json', build: agentsDashboard },
  { file: 'marketplace.json', build: marketplaceDashboard },
  { file: 'drops.json', build: dropsDashboard },
  { file: 'temporal.json', build: temporalDashboard },
];
