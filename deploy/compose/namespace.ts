import { setTimeout as pause } from 'node:timers/promises';
import { Connection } from '@temporalio/client';
import { doctorEnvironment } from '../../config/environment.ts';
import { serverTls } from '../../config/tls.ts';
import { namespaceRetentionSeconds } from '../../domain/temporal-needs.ts';
import { prepareNamespace } from '../embedded/temporal.ts';

/**
 * `node deploy/compose/namespace.ts`: waits until Temporal serves, over TLS as its clients do, and makes the namespace where there is
 * none. Run again it changes nothing.
 */

const withinMs = 5 * 60_000;
const notFound = 5;
const alreadyThere = 6;
const { temporalAddress, temporalNamespace: namespace, tlsFiles } = doctorEnvironment();
if (temporalAddress === undefined) throw new TypeError('TEMPORAL_ADDRESS is not set');
const tls = serverTls(tlsFiles)?.temporal;

/** A new namespace is known to every part of the server within ten seconds. */
async function madeSure(): Promise<void> {
  const connection = await Connection.connect({
    address: temporalAddress!,
    connectTimeout: '5 seconds',
    ...(tls && { tls }),
  });
  try {
    await connection.workflowService.describeNamespace({ namespace }).catch(async (err: { code?: number }) => {
      if (err.code !== notFound) throw err;
      await connection.workflowService
        .registerNamespace({
          namespace,
          workflowExecutionRetentionPeriod: { seconds: namespaceRetentionSeconds as never },
        })
        .catch((refused: { code?: number }) => {
          if (refused.code !== alreadyThere) throw refused;
        });
      throw err;
    });
  } finally {
    await connection.close();
  }
  await prepareNamespace(temporalAddress!, namespace, tls);
}

const until = Date.now() + withinMs;
for (;;) {
  try {
    await madeSure();
    process.stdout.write(`${namespace} is there\n`);
    break;
  } catch (err) {
    if (Date.now() > until) throw err;
    await pause(1_000);
  }
}
