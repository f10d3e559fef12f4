import { expect, test } from 'vitest';
import { createLogger } from '../../observability/logger.ts';

/** What a logger writes of this. */
function written(say: (log: ReturnType<typeof createLogger>) => void): string {
  const lines: string[] = [];
  say(createLogger({ part: 'test', destination: { write: (line) => void lines.push(line) } }));
  return lines.join('');
}

const planted = 'hunter2-planted-secret';

test('no planted secret reaches a line, by whatever name and however deep', () => {
  const names = [
    'token',
    'password',
    'key',
    'apiKey',
    'SOULFRA_SECRET_KEY',
    'Authorization',
    'set-cookie',
    'webhookSecret',
    'once',
  ];
  for (const name of names) {
    const text = written((log) => {
      log.info({ [name]: planted }, 'at the top');
      log.info({ a: { b: [{ c: { [name]: planted } }] } }, 'deep');
      log.info({ [name]: { inner: [planted] } }, 'an object under the name');
      log.error(
        { err: Object.assign(new Error('failed'), { config: { headers: { [name]: planted } } }) },
        'of an error',
      );
    });
    expect(text, name).not.toContain(planted);
    expect(text.match(/\[redacted\]/g), name).toHaveLength(4);
  }
});

test('nor inside of a text: of a message, an error, its stack, its cause, or a field', () => {
  const texts = [
    `connect to postgres://soulfra:${planted}@db.example:5432/soulfra failed`,
    `redis://:${planted}@10.0.0.4:6379 refused`,
    `header Authorization: Bearer ${planted} was refused`,
    `https://example.org/hook?token=${planted}&x=1 answered 500`,
    `SOULFRA_WEBHOOK_KEY=${planted} is too short`,
    `SOULFRA_PAYLOAD_KEYS=${planted} is no ring`,
    `{"password":"${planted}"} does not parse`,
    `the key sk_live_${planted} is not of this account`,
  ];
  for (const text of texts) {
    const said = written((log) => {
      log.warn(text);
      log.warn({ reason: text }, 'with a reason');
      log.error(new Error(text));
      log.error({ err: new Error('outer', { cause: new Error(text) }) });
    });
    expect(said, text).not.toContain(planted);
    expect(
      said.split('\n').filter((line) => line.includes('[redacted]')),
      text,
    ).toHaveLength(4);
  }
});

test('what is no secret stays: counts, ids, addresses without a password, and the error itself', () => {
  const text = written((log) =>
    log.info(
      {
        tokens: 412,
        promptTokens: 9,
        agentId: 'vesper-001',
        url: 'http://127.0.0.1:11434/v1',
        err: new TypeError('plain'),
      },
      'key figures of the day',
    ),
  );
  expect(JSON.parse(text)).toMatchObject({
    level: 'info',
    part: 'test',
    msg: 'key figures of the day',
    tokens: 412,
    promptTokens: 9,
    agentId: 'vesper-001',
    url: 'http://127.0.0.1:11434/v1',
    err: { type: 'TypeError', message: 'plain', stack: expect.stringContaining('redaction.test') },
  });
});

test('what turns in a circle or has no bottom is cut, and the line is written', () => {
  const circle: Record<string, unknown> = { name: 'loop' };
  circle['self'] = circle;
  let bottom: unknown = planted;
  for (let i = 0; i < 30; i += 1) bottom = { password: bottom, inside: bottom };
  const text = written((log) => log.info({ circle, deep: { inside: bottom } }, 'odd'));
  expect(text).toContain('[circular]');
  expect(text).not.toContain(planted);
});
