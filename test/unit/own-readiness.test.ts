import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { ownFindings, ownReport } from '../support/own-readiness.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const found = await ownFindings(root);

test('Soulfra’s own repository and fleet have no finding that nobody answers for', () => {
  const { findings } = ownReport(root, found);
  const open = findings
    .filter(({ accepted }) => accepted === null)
    .map(({ severity, rule, subject, place, evidence, fingerprint }) =>
      [severity, `${rule}/${fingerprint}`, subject, place ?? '', evidence].join(' | '),
    );
  expect(open).toEqual([]);
});

test('what is accepted is what the deploy kit mends, and stands there still', () => {
  const { findings } = ownReport(root, found);
  const accepted = findings.filter((each) => each.accepted !== null);
  const { acceptances } = ownReport(root, []);
  expect(accepted.map(({ rule, fingerprint }) => `${rule}/${fingerprint}`).toSorted()).toEqual(
    acceptances.map(({ rule, fingerprint }) => `${rule}/${fingerprint}`).toSorted(),
  );
  for (const { reason } of acceptances) expect(reason).toMatch(/^the deploy kit /);
});
