import { expect, test } from 'vitest';
import { createPasswordHasher } from '../../integrations/password-hash.ts';

test('a try that is refused for lack of a place counts nothing, and is told when to come again', async () => {
  const hasher = createPasswordHasher();
  const hash = await hasher.hash('harbour lamp seven');
  const gate = Promise.withResolvers<undefined>();
  let begun = 0;
  const judge = (password: string) =>
    hasher.judge(async () => {
      begun += 1;
      await gate.promise;
      return { hash };
    }, password);
  // Two are judged at once and forty wait.
  const judged = Promise.all(
    Array.from({ length: 42 }, (_, i) => judge(i === 0 ? 'harbour lamp seven' : 'harbour lamp eight')),
  );
  await expect(judge('harbour lamp seven')).rejects.toMatchObject({ code: 'RATE_LIMITED', retryAfterSeconds: 5 });
  expect(begun).toBe(2);
  gate.resolve(undefined);
  expect((await judged).filter(({ isRight }) => isRight)).toHaveLength(1);
  expect(begun).toBe(42);
});

test('where nobody has a password none is right, and a try that could not begin gives its place back', async () => {
  const hasher = createPasswordHasher();
  const nobodys = async () => ({ hash: undefined });
  expect(await hasher.judge(nobodys, 'of nobody')).toEqual({ tried: { hash: undefined }, isRight: false });
  for (let i = 0; i < 3; i += 1)
    await expect(hasher.judge(() => Promise.reject(new Error('locked')), 'x')).rejects.toThrow('locked');
  expect((await hasher.judge(nobodys, 'x')).isRight).toBe(false);
});
