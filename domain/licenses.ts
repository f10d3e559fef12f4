import { DomainError, type FieldError } from './errors.ts';
import type { LicenseState } from './states.ts';

/** Changes of a license; each is an event with actor and reason. */
export const licenseChanges = [
  'issued',
  'activated',
  'suspended',
  'revoked',
  'reinstated',
  'extended',
  'transferred',
  'used_up',
  'expired',
] as const;
export type LicenseChange = (typeof licenseChanges)[number];

/** In which states a change may come; a revoked license stays revoked. */
const mayComeIn: Record<Exclude<LicenseChange, 'issued'>, readonly LicenseState[]> = {
  activated: ['pending'],
  suspended: ['active', 'expired', 'used_up', 'suspended'],
  revoked: ['pending', 'active', 'suspended', 'expired', 'used_up'],
  reinstated: ['suspended'],
  extended: ['active', 'suspended', 'expired', 'used_up'],
  transferred: ['active'],
  used_up: ['active'],
  expired: ['active'],
};
export function mayCome(change: Exclude<LicenseChange, 'issued'>, state: LicenseState): boolean {
  return mayComeIn[change].includes(state);
}

/** The cause of an issuer who suspends by hand; others name what they are of, such as a dispute. */
export const operatorCause = 'operator';
/** Of who runs the marketplace: the issuer does not lift it. */
export const marketCause = 'marketplace';

export interface LicenseTerms {
  usesLimit: number | null;
  activationsLimit: number | null;
  seatsLimit: number | null;
  graceSeconds: number;
  commercial: boolean;
  transferable: boolean;
}

/** What a license is at a moment; times in milliseconds. */
export interface LicenseFacts extends LicenseTerms {
  state: LicenseState;
  packageHash: string;
  uses: number;
  /** Places where it is in use now. */
  activations: number;
  /** Seats that these take. */
  seats: number;
  startsAt: number | null;
  /** End of the term, before the grace. */
  expiresAt: number | null;
}

/** Every answer to "may I?", why, and what to do. Permitted are VALID and IN_GRACE. */
export const permissions = {
  VALID: { explanation: 'the license permits it', mend: 'None needed.' },
  IN_GRACE: { explanation: 'the term is over; what is in use may go on for a while', mend: 'Extend it.' },
  PENDING: { explanation: 'the license is not active yet', mend: 'Wait until its purchase is completed.' },
  SUSPENDED: { explanation: 'the license is suspended', mend: 'Ask its issuer.' },
  REVOKED: { explanation: 'the license was revoked', mend: 'Get another one.' },
  EXPIRED: { explanation: 'the term of the license is over', mend: 'Have it extended, or get another one.' },
  USED_UP: { explanation: 'all its uses are used', mend: 'Get another one.' },
  TOO_MANY_ACTIVATIONS: {
    explanation: 'it is in use in as many places as it permits',
    mend: 'End an activation that is not needed.',
  },
  NO_SEAT: { explanation: 'all its seats are taken', mend: 'End all activations of a seat, or use one that is taken.' },
  NOT_ACTIVATED: {
    explanation: 'it is not in use there, or nobody said where',
    mend: 'Activate it there, and name the activation.',
  },
  TOO_MANY_FILES: {
    explanation: 'as many of its places as may be have had files that still hold',
    mend: 'Wait until one of them is over, and ask for files that hold for less time.',
  },
  SCOPE_MISSING: {
    explanation: 'it is of another package, or does not permit commercial use',
    mend: 'Get a license that covers it.',
  },
  NOT_TRANSFERABLE: { explanation: 'its kind is not passed on', mend: 'Get one of a transferable kind.' },
  CLOCK_SET_BACK: {
    explanation: 'it began later than the clock says it is',
    mend: 'Set the clock of the database server right.',
  },
} as const satisfies Record<string, { explanation: string; mend: string }>;
export type PermissionCode = keyof typeof permissions;
export const permissionCodes = Object.keys(permissions) as [PermissionCode, ...PermissionCode[]];

export type Permitted = 'VALID' | 'IN_GRACE';
export function isPermitted(code: PermissionCode): code is Permitted {
  return code === 'VALID' || code === 'IN_GRACE';
}

export const purposes = ['use', 'redeem', 'activate', 'download', 'transfer'] as const;
export interface Asked {
  /** All but use begin something new, which the grace does not permit. */
  purpose: (typeof purposes)[number];
  packageHash?: string | undefined;
  commercial?: boolean | undefined;
  /** Whether an activation that was named is in use; absent: none was named. */
  inUse?: boolean | undefined;
  /** Whether the seat that was named is taken already, so that it needs no new one. */
  seatTaken?: boolean | undefined;
  /** Whether another place or holding may have a file: see `mostListed`. */
  mayHaveFile?: boolean | undefined;
}

/** Clocks of servers may be apart by this. */
export const clockSkewMs = 60_000;

/** When the grace is over, too; null: never. */
export function endOf({ expiresAt, graceSeconds }: Pick<LicenseFacts, 'expiresAt' | 'graceSeconds'>): number | null {
  return expiresAt === null ? null : expiresAt + graceSeconds * 1000;
}

/** What a license permits: the one place that says so. */
export function permissionOf(license: LicenseFacts, now: number, asked: Asked): PermissionCode {
  const { state, startsAt, expiresAt } = license;
  if (state === 'revoked') return 'REVOKED';
  if (state === 'suspended') return 'SUSPENDED';
  if (state === 'pending' || startsAt === null) return 'PENDING';
  if (now + clockSkewMs < startsAt) return 'CLOCK_SET_BACK';
  const end = endOf(license);
  const inTerm = expiresAt === null || now < expiresAt;
  if (state === 'expired' || (end !== null && now >= end)) return 'EXPIRED';
  if (!inTerm && asked.purpose !== 'use') return 'EXPIRED';
  if (state === 'used_up') return 'USED_UP';
  if (asked.packageHash !== undefined && asked.packageHash !== license.packageHash) return 'SCOPE_MISSING';
  if (asked.commercial === true && !license.commercial) return 'SCOPE_MISSING';
  const inUse = asked.inUse ?? !(asked.purpose === 'use' && needsActivation(license));
  if (!inUse) return 'NOT_ACTIVATED';
  if (asked.mayHaveFile === false) return 'TOO_MANY_FILES';
  if (asked.purpose === 'activate') {
    if (isReached(license.activationsLimit, license.activations)) return 'TOO_MANY_ACTIVATIONS';
    if (asked.seatTaken !== true && isReached(license.seatsLimit, license.seats)) return 'NO_SEAT';
  }
  if (asked.purpose === 'transfer' && !license.transferable) return 'NOT_TRANSFERABLE';
  return inTerm ? 'VALID' : 'IN_GRACE';
}

function isReached(limit: number | null, count: number): boolean {
  return limit !== null && count >= limit;
}

/** The state as time has made it, whether or not somebody has written that down. */
export function stateAt(
  license: Pick<LicenseFacts, 'state' | 'expiresAt' | 'graceSeconds'>,
  now: number,
): LicenseState {
  const end = endOf(license);
  return license.state === 'active' && end !== null && now >= end ? 'expired' : license.state;
}

/** Where a license goes on when nothing holds it up any more. */
export function runningState({ uses, usesLimit }: Pick<LicenseFacts, 'uses' | 'usesLimit'>): 'active' | 'used_up' {
  return isReached(usesLimit, uses) ? 'used_up' : 'active';
}

/**
 * Whether a use must name its activation: where places or people are counted and uses are not, a use (or a file) that held
 * anywhere would take the limits away. Where uses are counted, each is a redemption, and no file permits one.
 */
export function needsActivation({
  usesLimit,
  activationsLimit,
  seatsLimit,
}: Pick<LicenseTerms, 'usesLimit' | 'activationsLimit' | 'seatsLimit'>): boolean {
  return usesLimit === null && (activationsLimit !== null || seatsLimit !== null);
}

/** A refusal with the permission's code, for who wants to use the license and not only to ask. */
export function licenseRefused(licenseId: string, code: PermissionCode): DomainError {
  const { explanation, mend } = permissions[code];
  const field: FieldError & { code: PermissionCode } = { path: 'license', rule: `is ${code}`, mend, code };
  return new DomainError('LICENSE_REFUSED', `${licenseId} ${code}: ${explanation}`, { fields: [field] });
}
