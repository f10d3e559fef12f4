import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import { openAuthority } from '../tls/authority-files.ts';
import { certificatesOf, fingerprintOf } from '../tls/authority.ts';
import { type Env, type Home, readJson, writeJson } from './home.ts';
import { edgePart, edgePartName, repositoryRoot } from './own-parts.ts';
import type { Parts } from './parts.ts';
import type { Ports } from './ports.ts';

interface Listen {
  address: string;
  port: number;
}

/** IPv4 addresses that other boxes may reach this one by. */
function ownAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv4' && !internal)
    .map(({ address }) => address);
}

/**
 * The edge of this start: one TLS port before the three servers, opened only when asked for, and again by each later start, since
 * machines that have joined come by it.
 */
export function createEdgeControl(deps: { home: Home; ports: Ports; parts: Parts; env: Env }) {
  const { home, ports, parts } = deps;
  const file = home.path('edge.json');
  const kept = () => readJson<Listen>(file);

  /** @throws INVALID_INPUT for what is no address of this box · CONFLICT where it is to be chosen */
  function chosen(listen: string | undefined): Listen {
    const before = kept();
    if (listen === undefined) {
      if (before) return before;
      const [only, ...others] = ownAddresses();
      if (only !== undefined && others.length === 0) return { address: only, port: ports.edge };
      const all = [only, ...others].flatMap((address) => address ?? []);
      throw new DomainError(
        'CONFLICT',
        all.length === 0
          ? 'this box has no address that another box could reach it by'
          : `this box has several addresses: say which the other box reaches it by, with --listen (${all.join(', ')})`,
      );
    }
    const [, address = '', port] = /^([\d.]+)(?::(\d{1,5}))?$/.exec(listen) ?? [];
    const isOwn = address === '0.0.0.0' || address.startsWith('127.') || ownAddresses().includes(address);
    const number = port === undefined ? (before?.port ?? ports.edge) : Number(port);
    if (!isIPv4(address) || !isOwn || number < 1 || number > 65_535) {
      const rule = `must be an IPv4 address of this box (${[...ownAddresses(), '0.0.0.0'].join(', ')}), with :PORT where another port is wanted`;
      throw new DomainError('INVALID_INPUT', `listen ${rule}`, {
        fields: [{ path: 'listen', rule, mend: 'Write it like 192.168.1.10.' }],
      });
    }
    return { address, port: number };
  }

  async function open(listen: string | undefined): Promise<{ host: string; port: number; fingerprint: string }> {
    const wanted = chosen(listen);
    const before = kept();
    const isUp = parts
      .list()
      .some(({ name, state }) => name === edgePartName && (state === 'up' || state === 'starting'));
    const same = before !== undefined && before.address === wanted.address && before.port === wanted.port;
    if (isUp && !same) await parts.stop(edgePartName);
    if (!isUp || !same) {
      // The authority is there before anybody is told its fingerprint.
      await openAuthority(home.path('tls'));
      const start = (listen: Listen) => parts.start(edgePart({ root: repositoryRoot, listen, env: deps.env }));
      await start(wanted).catch(async (err: unknown) => {
        // Machines that are in go on by the address that they know.
        if (isUp && before !== undefined) await start(before);
        throw err;
      });
      writeJson(file, wanted);
    }
    // What the edge shows: while machines come over to a new authority, the one before.
    const shown = certificatesOf(readFileSync(join(home.path('tls'), 'server.pem'), 'utf8'))[1];
    if (shown === undefined) throw new DomainError('UNAVAILABLE', 'the edge has no certificate yet');
    const host = wanted.address === '0.0.0.0' ? (ownAddresses()[0] ?? '127.0.0.1') : wanted.address;
    return { host, port: wanted.port, fingerprint: fingerprintOf(shown) };
  }

  return { open, isWanted: (listen: string | undefined) => listen !== undefined || kept() !== undefined };
}
