import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { apiEnvironment, cliEnvironment, homeEnvironment, workerEnvironment } from '../../config/environment.ts';
import { DomainError } from '../../domain/errors.ts';

const servers = {
  DATABASE_URL: 'postgres://soulfra:quiet-secret@127.0.0.1:17001/soulfra',
  REDIS_URL: 'redis://127.0.0.1:17002',
  TEMPORAL_ADDRESS: '127.0.0.1:17003',
};

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-env-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

function fieldsOf(read: () => unknown): Record<string, string> {
  try {
    read();
  } catch (err) {
    if (err instanceof DomainError)
      return Object.fromEntries(err.fields.map(({ path, rule, mend }) => [path, `${rule}. ${mend}`]));
    throw err;
  }
  throw new Error('the environment was accepted');
}

describe('the environment', () => {
  test('gives each part what it needs, with defaults, frozen', () => {
    const api = apiEnvironment(servers);
    expect(api).toMatchObject({ host: '127.0.0.1', port: 17_000, temporalNamespace: 'default', logLevel: 'info' });
    expect(Object.isFrozen(api)).toBe(true);
    expect(workerEnvironment({ ...servers, SOULFRA_HOST_NAME: 'pc2' }).hostName).toBe('pc2');
    expect(cliEnvironment({})).toEqual({ url: undefined, token: undefined, home: '.soulfra' });
    expect(homeEnvironment({ SOULFRA_CACHE: '/var/cache/x' })).toEqual({ home: '.soulfra', cache: '/var/cache/x' });
  });

  test('tells every error at once, and the name that was meant', () => {
    const fields = fieldsOf(() =>
      apiEnvironment({
        TEMPORAL_ADDRESS: 'nowhere',
        REDIS_URL: 'redis://x',
        SOULFRA_API_PROT: '1',
        SOULFRA_API_PORT: '70000',
      }),
    );
    expect(Object.keys(fields).toSorted()).toEqual([
      'DATABASE_URL',
      'SOULFRA_API_PORT',
      'SOULFRA_API_PROT',
      'TEMPORAL_ADDRESS',
    ]);
    expect(fields['DATABASE_URL']).toBe('is required. Set DATABASE_URL or DATABASE_URL_FILE.');
    expect(fields['SOULFRA_API_PROT']).toContain('SOULFRA_API_PORT');
  });

  test('a proxy is named by address or a narrow network, never everybody', () => {
    const read = (text: string) => apiEnvironment({ ...servers, SOULFRA_TRUST_PROXY: text }).trustProxy;
    expect(read('127.0.0.1, 172.20.0.0/24,fd00:7::/64')).toEqual(['127.0.0.1', '172.20.0.0/24', 'fd00:7::/64']);
    expect(read('::ffff:172.20.0.0/112')).toEqual(['::ffff:172.20.0.0/112']);
    expect(apiEnvironment(servers).trustProxy).toBeUndefined();
    for (const text of [
      'true',
      '1',
      '0.0.0.0/0',
      '10.0.0.0/8',
      '::/0',
      'caddy',
      '10.0.0.1/33',
      '10.0.0.1/24/1',
      '10.0.0.1,',
      '::ffff:0.0.0.0/96',
      '::ffff:10.0.0.0/104',
      '0:0:0:0:0:ffff:a00:0/111',
    ])
      expect(fieldsOf(() => read(text))['SOULFRA_TRUST_PROXY']).toMatch(/of the proxy alone/);
  });

  test('a key before stands beside another one of now, for the API and the workers', () => {
    const [now, old] = ['n'.repeat(43), 'o'.repeat(43)];
    const both = { ...servers, SOULFRA_WEBHOOK_KEY: now, SOULFRA_WEBHOOK_KEY_OLD: old };
    expect(apiEnvironment({ ...both, SOULFRA_SECRET_KEY: now, SOULFRA_SECRET_KEY_OLD: old })).toMatchObject({
      secretKeyOld: old,
      webhookKeyOld: old,
    });
    expect(workerEnvironment(both).outbound).toMatchObject({ webhookKey: now, webhookKeyOld: old });
    // A ring has them itself; what stands in it needs no place beside it.
    const ring = `${now},${old}`;
    expect(apiEnvironment({ ...servers, SOULFRA_SECRET_KEY: ring }).secretKey).toBe(ring);
    expect(workerEnvironment({ ...servers, SOULFRA_WEBHOOK_KEY: `${ring}\n` }).outbound.webhookKey).toBe(`${ring}\n`);
    expect(() => apiEnvironment({ ...servers, SOULFRA_SECRET_KEY: `${now},${now}` })).toThrow(/each once/);
    for (const wrong of [
      { SOULFRA_WEBHOOK_KEY_OLD: old },
      { ...both, SOULFRA_WEBHOOK_KEY_OLD: now },
      { ...both, SOULFRA_WEBHOOK_KEY: ring },
    ])
      for (const environment of [apiEnvironment, workerEnvironment])
        expect(fieldsOf(() => environment({ ...servers, ...wrong }))['SOULFRA_WEBHOOK_KEY_OLD']).toMatch(
          /another SOULFRA_WEBHOOK_KEY/,
        );
  });

  test('never repeats the value of a variable', () => {
    try {
      apiEnvironment({ ...servers, DATABASE_URL: 'mysql://soulfra:quiet-secret@db', REDIS_URL: 'quiet-secret' });
      expect.unreachable();
    } catch (err) {
      expect(JSON.stringify([(err as DomainError).message, (err as DomainError).fields])).not.toContain('quiet-secret');
    }
  });

  test('takes an empty variable for an unset one', () => {
    expect(workerEnvironment({ ...servers, SOULFRA_MODEL_KEY: '' })).not.toHaveProperty('modelKey');
  });

  test('reads a secret from the file named by NAME_FILE, less the last line break', () => {
    const file = join(folder, 'key');
    writeFileSync(file, 'bearer key\n');
    expect(workerEnvironment({ ...servers, SOULFRA_MODEL_KEY_FILE: file }).modelKey).toBe('bearer key');
  });

  test('refuses a secret given both ways, or in a file that cannot be read', () => {
    const file = join(folder, 'url');
    writeFileSync(file, servers.REDIS_URL);
    expect(fieldsOf(() => apiEnvironment({ ...servers, REDIS_URL_FILE: file }))).toHaveProperty('REDIS_URL');
    const { DATABASE_URL: _, ...rest } = servers;
    const fields = fieldsOf(() => apiEnvironment({ ...rest, DATABASE_URL_FILE: join(folder, 'none') }));
    expect(Object.keys(fields)).toEqual(['DATABASE_URL_FILE']);
  });

  test('takes a mail server only with whom mail is from, and tells neither', () => {
    const SMTP_URL = 'smtps://market:quiet-secret@mail.example';
    expect(fieldsOf(() => workerEnvironment({ ...servers, SMTP_URL }))).toHaveProperty('SOULFRA_MAIL_FROM');
    const set = { ...servers, SMTP_URL, SOULFRA_MAIL_FROM: 'market@example.org' };
    const { outbound } = workerEnvironment({ ...set, SOULFRA_PUBLIC_URL: 'https://loops.example/' });
    expect(outbound).toMatchObject({ smtpUrl: SMTP_URL, publicUrl: 'https://loops.example' });
    const file = join(folder, 'smtp');
    writeFileSync(file, `${SMTP_URL}\n`);
    const { SMTP_URL: _, ...rest } = set;
    expect(workerEnvironment({ ...rest, SMTP_URL_FILE: file }).outbound.smtpUrl).toBe(SMTP_URL);
    for (const change of [
      { SMTP_URL: 'smtp://mail.example/quiet-secret' },
      { SOULFRA_MAIL_FROM: 'Market <quiet-secret@example.org>' },
      { SOULFRA_MAILBOX: 'quiet-secret' },
      { SOULFRA_PUBLIC_URL: 'javascript:quiet-secret' },
      { SOULFRA_WEBHOOK_KEY: 'quiet-secret' },
    ]) {
      const told = JSON.stringify(fieldsOf(() => workerEnvironment({ ...set, ...change })));
      expect(told).toContain(Object.keys(change)[0]);
      expect(told).not.toContain('quiet-secret');
    }
  });

  test('takes the files of TLS all three or none, and no address that says otherwise', () => {
    const files = { SOULFRA_TLS_CA_FILE: 'ca.pem', SOULFRA_TLS_CERT_FILE: 'own.pem', SOULFRA_TLS_KEY_FILE: 'own.key' };
    const paths = Object.fromEntries(Object.entries(files).map(([name, file]) => [name, join(folder, file)]));
    for (const path of Object.values(paths)) writeFileSync(path, 'x');
    const set = { ...servers, ...paths, REDIS_URL: 'rediss://127.0.0.1:17002' };
    expect(workerEnvironment(set).tlsFiles).toEqual({
      caFile: join(folder, 'ca.pem'),
      certFile: join(folder, 'own.pem'),
      keyFile: join(folder, 'own.key'),
    });
    expect(apiEnvironment(servers).tlsFiles).toBeUndefined();
    const { SOULFRA_TLS_KEY_FILE: _, ...two }: Record<string, string> = set;
    expect(Object.keys(fieldsOf(() => apiEnvironment(two)))).toEqual(['SOULFRA_TLS_KEY_FILE']);
    expect(Object.keys(fieldsOf(() => apiEnvironment({ ...set, SOULFRA_TLS_CA_FILE: join(folder, 'none') })))).toEqual([
      'SOULFRA_TLS_CA_FILE',
    ]);
    expect(Object.keys(fieldsOf(() => workerEnvironment({ ...set, REDIS_URL: servers.REDIS_URL })))).toEqual([
      'REDIS_URL',
    ]);
    expect(
      Object.keys(
        fieldsOf(() => workerEnvironment({ ...set, DATABASE_URL: `${servers.DATABASE_URL}?sslmode=disable` })),
      ),
    ).toEqual(['DATABASE_URL']);
  });
});
