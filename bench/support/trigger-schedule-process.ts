import { Client, Connection } from '@temporalio/client';
import { doctorEnvironment } from '../../config/environment.ts';
import { serverTls } from '../../config/tls.ts';

/** `node trigger-schedule-process.ts SCHEDULE`: has a Schedule act now, over TLS as a part of the deployment that its environment is of. */
const { temporalAddress, temporalNamespace: namespace, tlsFiles } = doctorEnvironment();
const tls = serverTls(tlsFiles)?.temporal;
if (temporalAddress === undefined) throw new TypeError('TEMPORAL_ADDRESS is not set');
const connection = await Connection.connect({ address: temporalAddress, ...(tls && { tls }) });
try {
  await new Client({ connection, namespace }).schedule.getHandle(process.argv[2]!).trigger();
} finally {
  await connection.close();
}
