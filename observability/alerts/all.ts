import type { AlertGroup } from './alert.ts';
import { apiAlerts } from './api.ts';
import { businessAlerts } from './business.ts';
import { fleetAlerts } from './fleet.ts';
import { temporalAlerts } from './temporal.ts';

/** In the order in which their files are made. */
export const alertGroups: readonly AlertGroup[] = [fleetAlerts, businessAlerts, apiAlerts, temporalAlerts];
