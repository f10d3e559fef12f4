import type { LicenseStore } from '../stores/licenses.ts';

/** Licenses ended in one transaction, which must end within 10 s. */
const batch = 200;

export function createLicenseActivities({ licenses }: { licenses: LicenseStore }) {
  return {
    /** Ends one batch of the licenses whose time is over; a repeated call finds none of them again. */
    async expireDue(): Promise<{ expired: number }> {
      return { expired: await licenses.expireDue(batch) };
    },
  };
}
export type LicenseActivities = ReturnType<typeof createLicenseActivities>;
