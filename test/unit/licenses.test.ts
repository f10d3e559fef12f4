import { describe, expect, test } from 'vitest';
import {
  endOf,
  isPermitted,
  type LicenseFacts,
  mayCome,
  needsActivation,
  permissionCodes,
  permissionOf,
  runningState,
  stateAt,
} from '../../domain/licenses.ts';
import { licenseStates } from '../../domain/states.ts';

const start = 1_000_000_000;
const hour = 3_600_000;
const facts: LicenseFacts = {
  state: 'active',
  packageHash: 'a',
  uses: 0,
  usesLimit: null,
  activations: 2,
  activationsLimit: 3,
  seats: 1,
  seatsLimit: 1,
  startsAt: start,
  expiresAt: start + 10 * hour,
  graceSeconds: 3600,
  commercial: false,
  transferable: false,
};
const ask = (change: Partial<LicenseFacts>, asked = {}, at = start) =>
  permissionOf({ ...facts, ...change }, at, { purpose: 'use', inUse: true, ...asked });
const nothingCounted = { activationsLimit: null, seatsLimit: null };

describe('a license permits', () => {
  test.each([
    ['use while it is active', 'VALID', {}, {}, start],
    ['no use of who does not say where, where places are counted', 'NOT_ACTIVATED', {}, { inUse: undefined }, start],
    ['use of who does not say where, where none are', 'VALID', nothingCounted, { inUse: undefined }, start],
    ['a use that is counted without a place', 'VALID', { usesLimit: 5 }, { inUse: undefined }, start],
    ['a download without a place', 'VALID', {}, { purpose: 'download', inUse: undefined }, start],
    ['no download in its grace', 'EXPIRED', {}, { purpose: 'download' }, start + 10 * hour],
    ['use in its grace', 'IN_GRACE', {}, {}, start + 10 * hour],
    ['nothing after it', 'EXPIRED', {}, {}, start + 11 * hour],
    ['nothing new in its grace', 'EXPIRED', {}, { purpose: 'redeem' }, start + 10 * hour],
    ['use without end where there is no term', 'VALID', { expiresAt: null }, {}, start + 1e12],
    ['nothing before it is active', 'PENDING', { state: 'pending', startsAt: null }, {}, start],
    ['nothing while suspended, also over its term', 'SUSPENDED', { state: 'suspended' }, {}, start + 1e12],
    ['nothing once revoked', 'REVOKED', { state: 'revoked' }, {}, start],
    ['nothing once written down as expired', 'EXPIRED', { state: 'expired', expiresAt: null }, {}, start],
    ['nothing once used up', 'USED_UP', { state: 'used_up' }, {}, start],
    ['use a minute before it began, by another clock', 'VALID', {}, {}, start - 60_000],
    ['nothing before that', 'CLOCK_SET_BACK', {}, {}, start - 60_001],
    ['use of its own package', 'VALID', {}, { packageHash: 'a' }, start],
    ['use of no other', 'SCOPE_MISSING', {}, { packageHash: 'b' }, start],
    ['no commercial use', 'SCOPE_MISSING', {}, { commercial: true }, start],
    ['commercial use where it says so', 'VALID', { commercial: true }, { commercial: true }, start],
    ['use where it is active', 'VALID', {}, { inUse: true }, start],
    ['no use elsewhere', 'NOT_ACTIVATED', {}, { inUse: false }, start],
    ['no file more', 'TOO_MANY_FILES', {}, { inUse: true, mayHaveFile: false }, start],
    ['another place of a seat', 'VALID', {}, { purpose: 'activate', seatTaken: true }, start],
    ['no seat more', 'NO_SEAT', {}, { purpose: 'activate' }, start],
    ['no place more', 'TOO_MANY_ACTIVATIONS', { activations: 3 }, { purpose: 'activate', seatTaken: true }, start],
    ['use of the places it has', 'VALID', { activations: 3 }, {}, start],
    ['not to be passed on', 'NOT_TRANSFERABLE', {}, { purpose: 'transfer' }, start],
    ['to be passed on', 'VALID', { transferable: true }, { purpose: 'transfer' }, start],
  ] as const)('%s', (_name, code, change, asked, at) => {
    expect(ask(change, asked, at)).toBe(code);
  });

  test('only VALID and IN_GRACE', () => {
    expect(permissionCodes.filter(isPermitted)).toEqual(['VALID', 'IN_GRACE']);
  });
});

test('a revoked license never changes again, and only a pending one becomes active', () => {
  const changes = [
    'activated',
    'suspended',
    'revoked',
    'reinstated',
    'extended',
    'transferred',
    'used_up',
    'expired',
  ] as const;
  for (const change of changes) expect({ change, may: mayCome(change, 'revoked') }).toEqual({ change, may: false });
  expect(licenseStates.filter((state) => mayCome('activated', state))).toEqual(['pending']);
});

test('time ends an active license, grace included, and no other', () => {
  expect(endOf(facts)).toBe(start + 11 * hour);
  expect(stateAt(facts, start + 11 * hour - 1)).toBe('active');
  expect(stateAt(facts, start + 11 * hour)).toBe('expired');
  expect(stateAt({ ...facts, state: 'suspended' }, start + 11 * hour)).toBe('suspended');
  expect(stateAt({ ...facts, expiresAt: null }, Number.MAX_SAFE_INTEGER)).toBe('active');
});

test('what is reinstated or extended goes on where its uses are', () => {
  expect(runningState({ uses: 1, usesLimit: 1 })).toBe('used_up');
  expect(runningState({ uses: 1, usesLimit: 2 })).toBe('active');
  expect(runningState({ uses: 9, usesLimit: null })).toBe('active');
});

test('a file is of one activation where places or people are counted and uses are not', () => {
  const terms = { ...facts, usesLimit: null, activationsLimit: null, seatsLimit: null };
  expect(needsActivation(terms)).toBe(false);
  expect(needsActivation({ ...terms, seatsLimit: 5 })).toBe(true);
  expect(needsActivation({ ...terms, activationsLimit: 0 })).toBe(true);
  expect(needsActivation({ ...terms, activationsLimit: 0, usesLimit: 1 })).toBe(false);
});
