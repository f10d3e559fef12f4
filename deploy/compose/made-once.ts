import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import type { DeploySite } from '../../domain/deploy-site.ts';
import { keyRingOf } from '../../domain/key-ring.ts';
import { serverNames } from '../../domain/server-names.ts';
import { writeText } from '../embedded/home.ts';
import { openAuthority, readAuthorities, trustOf } from '../tls/authority-files.ts';
import {
  type Authority,
  type IssuedCertificate,
  issueClientCertificate,
  issueServerCertificate,
  readCertificate,
} from '../tls/authority.ts';
import { backupPassphrase } from './cluster-files.ts';
import { keyRings } from './key-rotation.ts';
import { clientNames, databaseUrlOf, redisAddressOf, redisUrlOf, roleSecrets } from './coordination.ts';
import { promotedFolder, promotedSite } from './standby.ts';

/** Secrets and certificates of a folder: what is there stays as it is, what is missing is made. */

/** A year and a month, so that a renewal once a year is early. */
const certificateDays = 397;
const bytes = (count: number) => () => randomBytes(count).toString('base64url');
/** Each by how it is made. All are base64url, so none needs quoting anywhere. */
const madeSecrets: Readonly<Record<string, () => string>> = {
  postgres_password: bytes(24),
  ...Object.fromEntries(roleSecrets.map((name) => [name, bytes(24)])),
  redis_password: bytes(24),
  grafana_password: bytes(24),
  [backupPassphrase]: bytes(48),
  secret_key: bytes(32),
  webhook_key: bytes(32),
  payload_keys: bytes(32),
  operator_token: () => `sfr_${randomBytes(24).toString('base64url')}`,
};

/** Of the kit's folder. Who may take over needs them all: most are of the data, or of what is sealed in it. */
export const secretFiles = Object.keys(madeSecrets).map((name) => `secrets/${name}`);

export interface Owner {
  uid: number;
  gid: number;
}

/** Whose the containers' processes are: whoever runs the kit; root's kit runs as a user that owns nothing else. */
export function ownerOfParts(): Owner {
  const uid = process.getuid?.() ?? 0;
  return uid === 0 ? { uid: 10_001, gid: 10_001 } : { uid, gid: process.getgid?.() ?? uid };
}

/** Secrets that a fleet brings along: what it sealed opens with them alone. */
export type GivenSecrets = Readonly<Partial<Record<'secret_key' | 'webhook_key' | 'operator_token', string>>>;

/**
 * @param folder where they are written, and
 * @param kept where those of before lie
 * @returns names of what was made
 */
export async function makeOnce(
  site: DeploySite,
  folder: string,
  kept: string,
  owner: Owner,
  given: GivenSecrets = {},
): Promise<string[]> {
  const write = writerInto(folder, owner);
  const made = makeSecrets(site, write, kept, given);
  return [...made, ...(await makeCertificates(site, write, folder, kept))];
}

function makeSecrets(site: DeploySite, write: Write, kept: string, given: GivenSecrets): string[] {
  const made: string[] = [];
  const secrets: Record<string, string> = {};
  for (const [name, make] of Object.entries(madeSecrets)) {
    const file = join(kept, 'secrets', name);
    const brought = given[name as keyof GivenSecrets];
    if (existsSync(file)) {
      secrets[name] = readSecret(file);
      if (brought !== undefined && brought !== secrets[name])
        throw new DomainError(
          'CONFLICT',
          `${file} is not that of the fleet that moves: a fleet is moved into a folder that is new (--out)`,
        );
    } else {
      secrets[name] = brought ?? make();
      made.push(`secrets/${name}`);
    }
  }
  const derived = {
    database_url: databaseUrlOf(site, secrets['soulfra_password']!),
    redis_url: redisUrlOf(site, secrets['redis_password']!),
    // For hosts without Docker, whose resolver does not know our names.
    database_url_by_address: byAddress(site, databaseUrlOf(site, secrets['soulfra_password']!)),
    redis_url_by_address: byAddress(site, redisUrlOf(site, secrets['redis_password']!)),
    ...(site.standby === undefined ? {} : promotedUrls(promotedSite(site, site.standby), secrets)),
    'redis_password.conf': `requirepass ${secrets['redis_password']}`,
    'redis_exporter_password.json': JSON.stringify({ [redisAddressOf(site)]: secrets['redis_password'] }),
  };
  for (const [name, text] of Object.entries({ ...secrets, ...derived }))
    write(`secrets/${name}`, `${text}\n`, 'private');
  return made;
}

function promotedUrls(promoted: DeploySite, secrets: Readonly<Record<string, string>>): Record<string, string> {
  const named = (name: string) => `${name}_by_address.${promotedFolder}`;
  return {
    [named('database_url')]: byAddress(promoted, databaseUrlOf(promoted, secrets['soulfra_password']!)),
    [named('redis_url')]: byAddress(promoted, redisUrlOf(promoted, secrets['redis_password']!)),
  };
}

function byAddress(site: DeploySite, url: string): string {
  return url.replace(/@[a-z]+\.soulfra:/, `@${site.addresses[site.coordination.id]}:`);
}

/** A ring may hold several keys. One that somebody has emptied or put another thing into is told before a server refuses it. */
function readSecret(file: string): string {
  const text = readFileSync(file, 'utf8').trim();
  const isRing = (keyRings as readonly string[]).includes(basename(file));
  const isWhole = isRing ? keyRingOf(text) !== undefined : /^[\w-]{16,}$/.test(text);
  if (isWhole) return text;
  throw new DomainError(
    'CONFLICT',
    `${file} holds no secret of this kit (letters, digits, - and _, 16 at least): put it back from a backup; a new one would not open what the old one closed`,
  );
}

async function makeCertificates(site: DeploySite, write: Write, folder: string, kept: string): Promise<string[]> {
  // In the folder itself and never in a copy: whoever has its key lets machines in.
  const authorityFolder = join(kept, 'authority');
  const isNew = readAuthorities(authorityFolder).length === 0;
  const authority = await openAuthority(isNew ? join(folder, 'authority') : authorityFolder);
  const trusted = isNew ? [authority] : readAuthorities(authorityFolder);
  write('tls/ca.crt', trustOf(trusted), 'public');
  const made = isNew ? ['authority'] : [];
  for (const [name, issue] of wantedCertificates(site, authority)) {
    const before = ['crt', 'key'].map((ending) => join(kept, 'tls', `${name}.${ending}`));
    if (before.every((file) => existsSync(file))) {
      const [certificate, key] = before.map((file) => readFileSync(file, 'utf8'));
      if (!readCertificate(certificate!).isDue && certificate!.includes(authority.certificate.trim())) {
        write(`tls/${name}.crt`, certificate!, 'public');
        write(`tls/${name}.key`, key!, 'private');
        continue;
      }
    }
    const { certificate, privateKey } = await issue();
    write(`tls/${name}.crt`, certificate, 'public');
    write(`tls/${name}.key`, privateKey, 'private');
    made.push(`tls/${name}.crt`);
  }
  return made;
}

function wantedCertificates(site: DeploySite, authority: Authority): Map<string, () => Promise<IssuedCertificate>> {
  const at = [site.coordination, ...(site.standby === undefined ? [] : [site.standby])].map(
    ({ id }) => site.addresses[id]!,
  );
  const addresses = [...new Set(['127.0.0.1', ...at])];
  const options = { days: certificateDays };
  // A server that is a client of another, too: Temporal's of Postgres, a standby's of the primary.
  const server = (name: string) => () =>
    issueServerCertificate(authority, [name], addresses, { ...options, isClientToo: true });
  const isName = !/^[\d.]+$/.test(site.host);
  return new Map([
    ['postgres', server(serverNames.postgres)],
    ['redis', server(serverNames.redis)],
    ['temporal', server(serverNames.temporal)],
    [
      'proxy',
      () =>
        issueServerCertificate(
          authority,
          ['proxy.soulfra', ...(isName ? [site.host] : [])],
          [...new Set([...addresses, ...(isName ? [] : [site.host])])],
          options,
        ),
    ],
    ...[...clientNames, ...site.fleet.machines.map(({ id }) => id)].map(
      (name) => [name, () => issueClientCertificate(authority, name, options)] as const,
    ),
  ]);
}

type Write = (path: string, text: string, who: 'public' | 'private') => void;

/** Private is what the parts alone may read, whoever they run as. */
function writerInto(folder: string, owner: Owner): Write {
  return (path, text, who) => {
    const file = join(folder, path);
    mkdirSync(dirname(file), { recursive: true });
    writeText(file, text, who === 'private' ? 0o600 : 0o644);
    if (who === 'private' && process.getuid?.() === 0) chownSync(file, owner.uid, owner.gid);
  };
}
