import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import { serverTls } from '../../config/tls.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { DomainError } from '../../domain/errors.ts';

/**
 * Of two first ones one alone begins: what is restored here beside a standby that has taken over would not come up, and what is in use is
 * there. So nobody moves the data here aside for it.
 * @param folder of the coordinating machine
 */
export async function refuseBesidePromoted(
  folder: string,
  { standby, addresses, ports, coordination }: DeploySite,
  say: (text: string) => void,
): Promise<void> {
  if (standby === undefined) return;
  const at = { host: addresses[standby.id]!, port: ports.postgres };
  const copies = await isCopy(folder, at).catch((err: Error) => {
    // A cluster that is lost is restored with the standby lost, too; its start asks once more.
    say(`whether ${standby.id} was promoted is not known: its Postgres does not answer (${err.message})`);
    return true;
  });
  if (copies) return;
  throw new DomainError(
    'CONFLICT',
    `nothing was restored: ${standby.id} was promoted and is the first one, at ${at.host}. What is restored on ${coordination.id} would not begin beside it. Restore on ${standby.id}, or make ${coordination.id} its standby (deploy/runbooks/04-promote-the-standby.md); is ${standby.id} the one that is wrong, power it off first`,
  );
}

async function isCopy(folder: string, at: { host: string; port: number }): Promise<boolean> {
  const tls = serverTls({
    caFile: join(folder, 'tls/ca.crt'),
    certFile: join(folder, 'tls/postgres.crt'),
    keyFile: join(folder, 'tls/postgres.key'),
  })!.postgres;
  const client = new pg.Client({
    ...at,
    user: 'replicator',
    password: readFileSync(join(folder, 'secrets/replicator_password'), 'utf8').trim(),
    database: 'postgres',
    ssl: tls,
    connectionTimeoutMillis: 5_000,
    query_timeout: 5_000,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    const { rows } = await client.query<{ copies: boolean }>('select pg_is_in_recovery() as copies');
    return rows[0]!.copies;
  } finally {
    await client.end().catch(() => undefined);
  }
}
