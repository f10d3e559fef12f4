import { createHash } from 'node:crypto';
import { appVersion, workflowSources } from '../../config/app-version.ts';
import { joinAnswerSchema, type JoinLink, renewAnswerSchema, trustAnswerSchema } from '../../domain/joins.ts';
import { createRequest, readCertificate } from '../tls/authority.ts';
import type { Box, BoxFiles } from './box-files.ts';
import { askFleet, findAuthority } from './fleet-client.ts';

/**
 * Joins by an invitation. The key is made here and kept before it is used, so that a join whose answer was lost is asked again with
 * the same one.
 */
export async function joinFleet(files: BoxFiles, link: JoinLink, now = Date.now()): Promise<Box> {
  const of = createHash('sha256').update(link.secret).digest('hex');
  const before = files.read();
  // The line is still in the shell's history.
  if (before?.of === of && files.pendingKey(of) === undefined) return before;
  const ca = await findAuthority(link, link.fingerprint);
  // The subject is the fleet's to say: it knows whose invitation this is.
  const { request, privateKey } = await createRequest('joining', files.pendingKey(of));
  files.writePending(of, privateKey);
  const body = { secret: link.secret, request, app: appVersion(), workflows: workflowSources(), clock: now };
  const answer = await askFleet(link, { method: 'POST', path: '/join', body }, { ca }, joinAnswerSchema);
  const { certificate, trust, notAfter: _, ...told } = answer;
  const box = { ...told, host: link.host, port: link.port, of };
  files.write(box);
  files.writeCertificate(certificate, privateKey, trust);
  return box;
}

/**
 * Fetches the next certificate where this one is due or the fleet's authority has changed, and what is trusted beside it.
 * @returns what was done
 */
export async function renewIfDue(
  files: BoxFiles,
  box: Box,
  { force = false, now = new Date() }: { force?: boolean; now?: Date } = {},
): Promise<'renewed' | 'trust' | 'kept'> {
  const own = files.certificate();
  const trusting = { ca: files.trusted(), cert: own, key: own };
  const told = await askFleet(box, { method: 'GET', path: '/trust' }, trusting, trustAnswerSchema);
  const isDue = force || readCertificate(own, now).isDue || told.signedBy < told.generation;
  if (!isDue) {
    if (told.trust === files.trusted()) return 'kept';
    files.writeTrust(told.trust);
    return 'trust';
  }
  // Before the next certificate is asked for: once that is in the books, the edge may show one of the new authority.
  if (told.trust !== files.trusted()) files.writeTrust(told.trust);
  const of = `after ${readCertificate(own).serial}`;
  const { request, privateKey } = await createRequest(box.machineId, files.pendingKey(of));
  files.writePending(of, privateKey);
  const next = await askFleet(box, { method: 'POST', path: '/renew', body: { request } }, trusting, renewAnswerSchema);
  files.writeCertificate(next.certificate, privateKey, next.trust);
  return 'renewed';
}

/** What a worker of this box is started with. */
export function workerVariables(files: BoxFiles, box: Box, home: string): Record<string, string> {
  const { host, port, database, redis } = box;
  const login = ({ user, password }: { user: string; password: string }) => `${user}:${encodeURIComponent(password)}`;
  return {
    DATABASE_URL: `postgres://${login(database)}@${host}:${port}/${database.name}`,
    REDIS_URL: `rediss://${login(redis)}@${host}:${port}/${redis.database}`,
    TEMPORAL_ADDRESS: `${host}:${port}`,
    TEMPORAL_NAMESPACE: box.namespace,
    SOULFRA_HOME: home,
    SOULFRA_TLS_CA_FILE: files.trust,
    SOULFRA_TLS_CERT_FILE: files.own,
    SOULFRA_TLS_KEY_FILE: files.own,
  };
}
