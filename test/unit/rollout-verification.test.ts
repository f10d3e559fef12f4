import { expect, test } from 'vitest';
import { finding } from '../../domain/readiness.ts';
import { reportOf } from '../../domain/readiness-reports.ts';
import { type Places, saidAgainst, standingAgainst } from '../../domain/rollout-verification.ts';

const places: Places = {
  machines: ['mainpc', 'pc2'],
  services: new Map([
    ['api', 'mainpc'],
    ['worker', 'pc2'],
  ]),
};
const found = [
  finding('port-declared-clash', { subject: 'mainpc:7200', place: 'a.yaml:3', evidence: 'api and x' }),
  finding('port-declared-clash', { subject: 'pc2:7200', place: 'a.yaml:9', evidence: 'worker and y' }),
  finding('health-check-missing', { subject: 'worker', evidence: 'it listens at 7300' }),
  finding('stop-not-graceful', { subject: 'memory@pc2', evidence: 'killed' }),
  finding('image-as-root', { subject: 'images/Dockerfile', evidence: 'no `USER`' }),
  finding('live-unknown', { subject: 'pc2', evidence: 'nothing was read' }),
  finding('tool-absent', { subject: 'gitleaks', evidence: 'not installed' }),
];
const accepted = found.slice(6).map(({ rule, fingerprint }) => ({
  rule,
  fingerprint,
  until: '2999-01-01',
  by: 'owner',
  reason: 'none',
}));

function against(
  rules: string[],
  more: { machines?: string[]; subjects?: string[] } = {},
  acceptances: typeof accepted = [],
): string[] {
  const { findings } = reportOf(found, { acceptances, today: '2026-11-22' });
  const { machines, subjects } = more;
  const verify = { rules, healthyMinutes: 0, ...(subjects && { subjects }) };
  return standingAgainst({ verify, ...(machines && { machines }) }, findings, places).map(
    ({ rule, subject }) => `${rule} ${subject}`,
  );
}

test('only the named rules count, and of them only what is of the package’s machines, or of nobody knows which', () => {
  expect(against(['port-declared-clash'])).toEqual(['port-declared-clash mainpc:7200', 'port-declared-clash pc2:7200']);
  expect(against(['port-declared-clash'], { machines: ['pc2'] })).toEqual(['port-declared-clash pc2:7200']);
  const rules = ['health-check-missing', 'stop-not-graceful', 'image-as-root'];
  expect(against(rules, { machines: ['mainpc'] })).toEqual(['image-as-root images/Dockerfile']);
  expect(against(rules, { machines: ['pc2'] }).toSorted()).toEqual([
    'health-check-missing worker',
    'image-as-root images/Dockerfile',
    'stop-not-graceful memory@pc2',
  ]);
});

test('named subjects count alone, `*` for anything', () => {
  expect(against(['port-declared-clash', 'health-check-missing'], { subjects: ['*:7200'], machines: ['pc2'] })).toEqual(
    ['port-declared-clash mainpc:7200', 'port-declared-clash pc2:7200'],
  );
  expect(against(['port-declared-clash'], { subjects: ['pc2.7200'] })).toEqual([]);
});

test('a rule that could not be looked at does not hold, until somebody answers for that', () => {
  expect(against(['secret-by-tool'])).toEqual(['tool-absent gitleaks']);
  expect(against(['secret-by-tool'], {}, accepted)).toEqual([]);
  expect(against(['dockerfile-by-tool'])).toEqual([]);
  expect(against(['port-taken'])).toEqual(['live-unknown pc2']);
  expect(against(['port-taken'], { machines: ['mainpc'] })).toEqual([]);
});

test('what failed it is said with its rule, fingerprint, subject and place', () => {
  const { findings } = reportOf(found, { acceptances: [], today: '2026-11-22' });
  const { fingerprint } = findings[0]!;
  expect(saidAgainst(findings.slice(0, 1))).toBe(
    `port-declared-clash/${fingerprint} mainpc:7200: api and x (a.yaml:3)`,
  );
  expect(saidAgainst(findings)).toMatch(/; and 4 more$/);
});
