import {
  closeSync,
  fstatSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { dirname } from 'node:path';
import { Decrypter, Encrypter, generateX25519Identity, identityToRecipient } from 'age-encryption';
import { DomainError } from '../../domain/errors.ts';
import { syncFolder } from './folders.ts';

/** How archives are closed and opened: by the key in a file, or by a passphrase. The form is that of age (age-encryption.org). */
export interface Seal {
  /** Null: a passphrase. */
  keyFile: string | null;
  close(plain: ReadableStream<Uint8Array>): Promise<AsyncIterable<Uint8Array>>;
  /** @throws BACKUP_KEY_WRONG */
  open(sealed: ReadableStream<Uint8Array>): Promise<AsyncIterable<Uint8Array>>;
}

export interface SealSettings {
  keyFile: string;
  passphrase: string | undefined;
}

/** @param make whether a key is made where there is none yet */
export async function openSeal({ keyFile, passphrase }: SealSettings, { make }: { make: boolean }): Promise<Seal> {
  const encrypter = new Encrypter();
  const decrypter = new Decrypter();
  if (passphrase === undefined) {
    const identity = readKey(keyFile) ?? (make ? await makeKey(keyFile) : undefined);
    if (identity === undefined) throw new DomainError('BACKUP_KEY_WRONG', `there is no key ${keyFile}`);
    encrypter.addRecipient(await identityToRecipient(identity));
    decrypter.addIdentity(identity);
  } else {
    encrypter.setPassphrase(passphrase);
    decrypter.addPassphrase(passphrase);
  }
  return {
    keyFile: passphrase === undefined ? keyFile : null,
    close: (plain) => encrypter.encrypt(plain),
    async open(sealed) {
      try {
        return await decrypter.decrypt(sealed);
      } catch (err) {
        // The library has no codes; all else that it throws here is a file that is damaged.
        if (err instanceof Error && /no identity matched/.test(err.message))
          throw new DomainError(
            'BACKUP_KEY_WRONG',
            `${passphrase === undefined ? keyFile : 'the passphrase'} does not open it`,
            { cause: err },
          );
        throw err;
      }
    },
  };
}

function readKey(file: string): string | undefined {
  let fd: number;
  try {
    fd = openSync(file, 'r');
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new DomainError('BACKUP_KEY_WRONG', `${file} cannot be read (${(err as NodeJS.ErrnoException).code})`, {
      cause: err,
    });
  }
  try {
    if ((fstatSync(fd).mode & 0o077) !== 0)
      throw new DomainError('BACKUP_KEY_WRONG', `${file} may be read by others: chmod 600 ${file}`);
    const identity = readFileSync(fd, 'utf8')
      .split('\n')
      .map((line) => line.trim())
      .find((line) => line !== '' && !line.startsWith('#'));
    if (identity === undefined || !/^AGE-SECRET-KEY-1[0-9A-Z]+$/.test(identity))
      throw new DomainError('BACKUP_KEY_WRONG', `${file} holds no age identity (AGE-SECRET-KEY-1…)`);
    return identity;
  } finally {
    closeSync(fd);
  }
}

/**
 * On the disk before anything is closed by it: an archive whose key is gone is lost. It has its name once it is whole, and takes
 * nobody's place: of two that make it at once both go by the first.
 */
async function makeKey(file: string): Promise<string> {
  const identity = await generateX25519Identity();
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const beside = `${file}.${process.pid}.new`;
  rmSync(beside, { force: true });
  try {
    const fd = openSync(beside, 'wx', 0o600);
    try {
      writeFileSync(
        fd,
        `# Opens the backups of Soulfra. Keep a copy of this file elsewhere: without it no backup can be restored.\n${identity}\n`,
      );
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    linkSync(beside, file);
  } catch (err) {
    const known = (err as NodeJS.ErrnoException).code === 'EEXIST' ? readKey(file) : undefined;
    if (known === undefined) throw err;
    return known;
  } finally {
    rmSync(beside, { force: true });
  }
  syncFolder(dirname(file));
  return identity;
}
