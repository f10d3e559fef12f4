import { expect, test } from 'vitest';
import { compareVersions, refuseNewerData, type VersionStamp } from '../../deploy/embedded/version.ts';

const data: VersionStamp = { app: '1.2.0', schema: 7, postgresMajor: 18, temporal: '1.31.2' };

test('data of the same or an older version is taken', () => {
  refuseNewerData(undefined, { app: '0.1.0', schema: 1 });
  refuseNewerData(data, { app: '1.2.0', schema: 7, postgresMajor: 18, temporal: '1.31.2' });
  refuseNewerData(data, { app: '1.10.0', schema: 9, postgresMajor: 18, temporal: '1.32.0' });
});

test.each([
  [{ app: '1.1.9' }, /Soulfra 1\.2\.0 \(this is 1\.1\.9\)/],
  [{ schema: 6 }, /schema 7/],
  [{ postgresMajor: 17 }, /Postgres 18/],
  [{ temporal: '1.31.1' }, /Temporal 1\.31\.2/],
])('data written by something newer than %o is refused', (ours, message) => {
  expect(() => refuseNewerData(data, ours)).toThrow(message);
  expect(() => refuseNewerData(data, ours)).toThrow(expect.objectContaining({ code: 'DATA_NEWER' }));
});

test('what runs outside is not compared', () => {
  refuseNewerData({ ...data, postgresMajor: null, temporal: null }, { postgresMajor: 17, temporal: '1.0.0' });
  refuseNewerData(data, { postgresMajor: null, temporal: null });
});

test('versions are compared by number', () => {
  expect(compareVersions('1.10.0', '1.9.9')).toBeGreaterThan(0);
  expect(compareVersions('v1.2', '1.2.0')).toBe(0);
  expect(compareVersions('0.0.0-DEV', '0.0.1')).toBeLessThan(0);
});
