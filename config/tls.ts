import { readFileSync, statSync } from 'node:fs';
import { checkServerIdentity, type ConnectionOptions, type PeerCertificate } from 'node:tls';
import { serverNames } from '../domain/server-names.ts';

/** Paths: whom we trust, who we are, and its key. The last two may be one file, so that a renewal replaces both at once. */
export interface TlsFiles {
  caFile: string;
  certFile: string;
  keyFile: string;
}

/** How each server is reached over TLS; a server is known by its own name, whatever name or address is dialled. */
export interface ServerTls {
  postgres: ConnectionOptions;
  redis: ConnectionOptions;
  /** As the client and the worker of Temporal take it; they keep it until their process ends. */
  temporal: {
    serverNameOverride: string;
    serverRootCACertificate: Buffer;
    clientCertPair: { crt: Buffer; key: Buffer };
  };
}

/** @returns undefined where nothing is set: the servers are reached in the clear */
export function serverTls(files: TlsFiles | undefined): ServerTls | undefined {
  if (files === undefined) return undefined;
  return {
    postgres: connectionTo(serverNames.postgres, files),
    redis: connectionTo(serverNames.redis, files),
    temporal: {
      serverNameOverride: serverNames.temporal,
      serverRootCACertificate: readFileSync(files.caFile),
      clientCertPair: { crt: readFileSync(files.certFile), key: readFileSync(files.keyFile) },
    },
  };
}

/** Read anew for each connection: one that opens after a renewal comes with what was renewed. */
function connectionTo(servername: string, files: TlsFiles): ConnectionOptions {
  return {
    servername,
    // pg would look for the name that it dialled.
    checkServerIdentity: (_dialled: string, shown: PeerCertificate) => checkServerIdentity(servername, shown),
    get ca() {
      return readFileSync(files.caFile);
    },
    get cert() {
      return readFileSync(files.certFile);
    },
    get key() {
      return readFileSync(files.keyFile);
    },
  };
}

const lookEveryMs = 15_000;

/**
 * Resolves once a file is another than at the start. Temporal's connections keep what they began with, so a process whose files were
 * renewed ends in order, and whoever runs it starts it again.
 */
export function tlsFilesChanged(files: TlsFiles | undefined, everyMs = lookEveryMs): Promise<'renewed'> {
  return new Promise((resolve) => {
    if (files === undefined) return;
    const before = stamp(files);
    const timer = setInterval(() => {
      const now = stamp(files);
      // Between two files of a renewal one may be away.
      if (now === undefined || now === before) return;
      clearInterval(timer);
      resolve('renewed');
    }, everyMs);
    timer.unref();
  });
}

function stamp({ caFile, certFile, keyFile }: TlsFiles): string | undefined {
  try {
    return [caFile, certFile, keyFile]
      .map((file) => statSync(file))
      .map(({ ino, mtimeMs, size }) => `${ino} ${mtimeMs} ${size}`)
      .join('\n');
  } catch {
    return undefined;
  }
}
