import type { AlertGroup } from './alert.ts';
import { temporalAlerts } from './temporal.ts';

/** In the order in which their files are made. */
export const alertGroups: readonly AlertGroup[] = [temporalAlerts];
