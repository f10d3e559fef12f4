import { describe, expect, test } from 'vitest';
import { auditOutcomes as outcomesOfDomain } from '../../domain/audit.ts';
import { auditOutcomes, auditQuery, auditSearch } from '../../ui/operations/audit-search.ts';

describe('what an address says to look for in the audit log', () => {
  test('is kept where the API would take it, and nothing else is', () => {
    expect(
      auditSearch({ actor: 'usr_1', subject: 'gld_1', outcome: 'refused', since: '2026-11-20', other: 'x' }),
    ).toEqual({
      actor: 'usr_1',
      subject: 'gld_1',
      outcome: 'refused',
      since: '2026-11-20',
    });
    expect(auditSearch({ actor: '', subject: 7, outcome: 'eaten', since: '2026-13-45' })).toEqual({});
    expect(auditSearch({ actor: 'a'.repeat(201), since: 'yesterday' })).toEqual({});
  });

  test('a day begins where its reader is', () => {
    const { since } = auditQuery({ since: '2026-11-20', actor: 'usr_1' }) as { since: string };
    const at = new Date(since);
    expect([at.getFullYear(), at.getMonth(), at.getDate(), at.getHours()]).toEqual([2026, 10, 20, 0]);
    expect(auditQuery({ actor: 'usr_1' })).toEqual({ actor: 'usr_1' });
  });

  test('the outcomes are those of the domain', () => {
    expect(auditOutcomes).toEqual(outcomesOfDomain);
  });
});
