import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { DomainError } from '../../domain/errors.ts';
import { writeText } from '../embedded/home.ts';
import { type Authority, certificatesOf, createAuthority } from './authority.ts';

/**
 * The authority's generations in one folder, 0700: `authority-1.key` (0600) and `authority-1.crt`. The key is written first, so
 * that a certificate always has its key; a key without one was cut off, and nobody has trusted it.
 */
const certificateFile = (folder: string, generation: number) => join(folder, `authority-${generation}.crt`);
const keyFile = (folder: string, generation: number) => join(folder, `authority-${generation}.key`);

/** Every generation that is still trusted, the oldest first; the last one signs. Empty where none was made. */
export function readAuthorities(folder: string): Authority[] {
  if (!existsSync(folder)) return [];
  const generations = readdirSync(folder)
    .flatMap((name) => /^authority-([1-9]\d*)\.crt$/.exec(name)?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
  return generations.map((generation) => {
    const read = (file: string) => {
      try {
        return readFileSync(file, 'utf8');
      } catch (cause) {
        throw new DomainError('CONFLICT', `${file} cannot be read: restore it from a backup`, { cause });
      }
    };
    const certificate = read(certificateFile(folder, generation));
    if (certificatesOf(certificate).length !== 1)
      throw new DomainError(
        'CONFLICT',
        `${certificateFile(folder, generation)} is no certificate: restore it from a backup`,
      );
    return { generation, certificate, privateKey: read(keyFile(folder, generation)) };
  });
}

/** The authority that signs: the one there is, else a new one. */
export async function openAuthority(folder: string): Promise<Authority> {
  return readAuthorities(folder).at(-1) ?? addAuthority(folder);
}

/** The next generation; those before it stay trusted until `dropAuthority`. */
export async function addAuthority(folder: string): Promise<Authority> {
  mkdirSync(folder, { recursive: true });
  chmodSync(folder, 0o700);
  const made = await createAuthority({ generation: (readAuthorities(folder).at(-1)?.generation ?? 0) + 1 });
  writeText(keyFile(folder, made.generation), made.privateKey, 0o600);
  writeText(certificateFile(folder, made.generation), made.certificate, 0o644);
  return made;
}

/** A generation is trusted no more; the certificate goes first, as nothing is trusted without it. */
export function dropAuthority(folder: string, generation: number): void {
  rmSync(certificateFile(folder, generation), { force: true });
  rmSync(keyFile(folder, generation), { force: true });
}

/** What clients and servers take as trusted: all generations in one PEM text. */
export function trustOf(authorities: readonly Pick<Authority, 'certificate'>[]): string {
  return authorities.map(({ certificate }) => certificate).join('');
}
