import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Connection } from '@temporalio/client';
import { Redis } from 'ioredis';
import pg from 'pg';
import { serverTls } from '../../config/tls.ts';
import { openAuthority } from '../../deploy/tls/authority-files.ts';
import { issueClientCertificate } from '../../deploy/tls/authority.ts';

/**
 * Run on a machine that is not the servers': tries to reach each of them as one should (which must work, or the rest says nothing)
 * and as one should not. One line of JSON: what each try came to.
 */

const { folder, address, ports, machine, scratch } = JSON.parse(process.argv[2]!) as {
  folder: string;
  address: string;
  ports: { postgres: number; redis: number; temporal: number };
  machine: string;
  scratch: string;
};
const secret = (name: string) => readFileSync(join(folder, 'secrets', name), 'utf8').trim();
const own = {
  caFile: join(folder, 'tls/ca.crt'),
  certFile: join(folder, `tls/${machine}.crt`),
  keyFile: join(folder, `tls/${machine}.key`),
};

/** A certificate of the same names, signed by somebody else. */
async function foreign() {
  const place = mkdtempSync(join(scratch, 'foreign-'));
  const { certificate, privateKey } = await issueClientCertificate(
    await openAuthority(join(place, 'authority')),
    machine,
  );
  const files = { caFile: own.caFile, certFile: join(place, 'own.crt'), keyFile: join(place, 'own.key') };
  writeFileSync(files.certFile, certificate);
  writeFileSync(files.keyFile, privateKey, { mode: 0o600 });
  return files;
}

const trusted = serverTls(own)!;
const untrusted = serverTls(await foreign())!;

async function postgres(ssl: false | object, user: string, password: string, database: string): Promise<void> {
  const client = new pg.Client({
    host: address,
    port: ports.postgres,
    user,
    password,
    database,
    ssl,
    connectionTimeoutMillis: 10_000,
  });
  client.on('error', () => {});
  await client.connect();
  await client.query('select 1');
  await client.end();
}

async function redis(tls: object | undefined, password: string): Promise<void> {
  const client = new Redis({
    host: address,
    port: ports.redis,
    password,
    ...(tls && { tls }),
    lazyConnect: true,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    connectTimeout: 10_000,
  });
  client.on('error', () => {});
  try {
    await client.connect();
    await client.ping();
  } finally {
    client.disconnect();
  }
}

async function temporal(tls: object | undefined): Promise<void> {
  const connection = await Connection.connect({
    address: `${address}:${ports.temporal}`,
    connectTimeout: '10 seconds',
    ...(tls && { tls }),
  });
  await connection.workflowService.describeNamespace({ namespace: 'default' });
  await connection.close();
}

const app = secret('soulfra_password');
const password = secret('redis_password');
const tries: Record<string, () => Promise<void>> = {
  'control postgres': () => postgres(trusted.postgres, 'soulfra', app, 'soulfra'),
  'control redis': () => redis(trusted.redis, password),
  'control temporal': () => temporal(trusted.temporal),
  'postgres untrusted certificate': () => postgres(untrusted.postgres, 'soulfra', app, 'soulfra'),
  'redis untrusted certificate': () => redis(untrusted.redis, password),
  'temporal untrusted certificate': () => temporal(untrusted.temporal),
  'postgres plain': () => postgres(false, 'soulfra', app, 'soulfra'),
  'redis plain': () => redis(undefined, password),
  'temporal plain': () => temporal(undefined),
  'postgres without a certificate': () =>
    postgres(
      { ca: readFileSync(own.caFile), servername: 'postgres.soulfra', checkServerIdentity: () => undefined },
      'soulfra',
      app,
      'soulfra',
    ),
  'postgres wrong role': () => postgres(trusted.postgres, 'temporal', secret('temporal_password'), 'soulfra'),
  'postgres wrong role of the app': () => postgres(trusted.postgres, 'soulfra', app, 'temporal'),
  'postgres wrong secret': () => postgres(trusted.postgres, 'soulfra', `${app}x`, 'soulfra'),
  'redis wrong secret': () => redis(trusted.redis, `${password}x`),
};
const came: Record<string, string> = {};
for (const [name, attempt] of Object.entries(tries)) {
  came[name] = await attempt().then(
    () => 'let in',
    (err: unknown) => `refused: ${err instanceof Error ? err.message.split('\n')[0] : String(err)}`,
  );
}
process.stdout.write(`${JSON.stringify(came)}\n`, () => process.exit());
