import { expect, test } from 'vitest';
import { hostCrypto } from '../../config/host-crypto.ts';
import { openLoop } from '../../domain/loop-packages.ts';
import { chooseInThread, readInThread } from '../../api/loop-threads.ts';
import type { ChoosingInput } from '../../api/loop-choosing.ts';
import { inPieces, newSigner, packed, signedLoop } from '../support/loops.ts';

const opened = (says: string) =>
  openLoop(inPieces(signedLoop([packed(says)], newSigner())), { checks: hostCrypto, isPinned: () => true });

test('many at once are each answered with their own', async () => {
  const all = await Promise.all(Array.from({ length: 20 }, (_, i) => opened(`memory-${i}`)));
  const read = await Promise.all(all.map((each) => readInThread(each)));
  expect(read.map(({ lines }) => lines[0]!.text)).toEqual(all.map((_, i) => `What memory-${i} tells.`));
});

test('what a package says is judged there, and refused as it would be here', async () => {
  const whole = await opened('one');
  const other = { ...whole, manifest: { ...whole.manifest, memories: 2 } };
  await expect(readInThread(other)).rejects.toMatchObject({ code: 'LOOP_TAMPERED' });
  const bytes = new TextEncoder().encode('{"type":"memory"}\n');
  const wrong = { ...whole, members: { ...whole.members, 'memories.ndjson': bytes } };
  await expect(readInThread(wrong)).rejects.toMatchObject({ code: 'INVALID_INPUT', fields: [expect.anything()] });
});

test('a thread that breaks is told as a fault, and the next one goes on; who breaks off leaves nothing to others', async () => {
  // No fleet, no agent: a fault of ours, which ends the thread.
  await expect(chooseInThread(async () => ({}) as ChoosingInput)).rejects.toMatchObject({ code: 'INTERNAL' });
  const gone = new Error('the database went away');
  await expect(
    chooseInThread(async (tell) => {
      tell([]);
      throw gone;
    }),
  ).rejects.toBe(gone);
  expect((await readInThread(await opened('after'))).lines).toHaveLength(1);
});
