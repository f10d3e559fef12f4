import { expect, test } from 'vitest';
import { asDomainError, problemOf } from '../../api/errors.ts';
import { errorsText } from '../../api/reference.ts';
import { DomainError, errorTable } from '../../domain/errors.ts';

test('what nobody foresaw is told without its details, and keeps its cause for the log', () => {
  const cause = new Error('password authentication failed for user "soulfra"');
  const known = asDomainError(cause);
  expect(known.cause).toBe(cause);
  const problem = problemOf(known, 'req_1');
  expect(problem).toMatchObject({ status: 500, code: 'INTERNAL', requestId: 'req_1' });
  expect(JSON.stringify(problem)).not.toContain('password');
});

test('a part that is away is UNAVAILABLE, however its client says so', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const late = Object.assign(new Error('deadline'), { code: 4, details: '', metadata: {} });
  for (const err of [refused, new AggregateError([refused]), new Error('Connection terminated unexpectedly'), late]) {
    expect(asDomainError(err).code).toBe('UNAVAILABLE');
  }
});

test('a status of the table is the status of the answer', () => {
  for (const [code, { status }] of Object.entries(errorTable)) {
    const problem = problemOf(new DomainError(code as keyof typeof errorTable, 'said'), 'req_1');
    expect(problem).toMatchObject({ code, status, detail: 'said' });
  }
});

test('docs/errors.md holds every code', () => {
  const text = errorsText();
  for (const code of Object.keys(errorTable)) expect(text).toContain(`## ${code}\n`);
});
