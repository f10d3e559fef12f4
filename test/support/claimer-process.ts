/**
 * Run as `node claimer-process.ts URL TOKEN QUEUE FILE`: claims work and completes it, each after a moment with a heartbeat, until
 * it is killed. What the API took is written to FILE, one line each, before anything else is done.
 */
import { appendFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const [url, token, queue, file] = process.argv.slice(2) as [string, string, string, string];

/** @returns undefined while the API is away */
async function post(
  call: string,
  body: object,
): Promise<{ status: number; json: Record<string, unknown> } | undefined> {
  try {
    const answer = await fetch(`${url}/v1/work/${call}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, json: text === '' ? {} : (JSON.parse(text) as Record<string, unknown>) };
  } catch {
    return undefined;
  }
}

for (;;) {
  const claim = await post('claim', { queue, waitSeconds: 5 });
  if (claim?.status !== 200) {
    if (claim?.status !== 204) await pause(200);
    continue;
  }
  const { token: lease, workId, attempt } = claim.json;
  await pause(200 + Math.random() * 400);
  await post('heartbeat', { token: lease });
  const result = { by: process.pid, attempt };
  for (;;) {
    const done = await post('complete', { token: lease, result });
    // Sent again until there is an answer, as a client does that never heard of the first.
    if (done === undefined || done.status >= 500) {
      await pause(200);
      continue;
    }
    appendFileSync(
      file,
      `${JSON.stringify({ workId, attempt, by: process.pid, status: done.status, code: done.json['code'] ?? null })}\n`,
    );
    break;
  }
}
