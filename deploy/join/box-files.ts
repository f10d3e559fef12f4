import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { joinAnswerSchema } from '../../domain/joins.ts';
import { readJson, writeJson, writeText } from '../embedded/home.ts';

/** What a box that has joined keeps in `.soulfra/join/`, all of it for its owner alone. */
export const boxSchema = joinAnswerSchema.omit({ certificate: true, trust: true, notAfter: true }).extend({
  host: z.string(),
  port: z.int(),
  /** SHA-256 of the secret that it joined by. */
  of: z.string(),
});
export type Box = z.infer<typeof boxSchema>;

/** A key whose certificate has been asked for and was not written down yet: asked again, it is the same key. */
const pendingSchema = z.object({ of: z.string(), privateKey: z.string() });

export function boxFiles(home: string) {
  const folder = join(home, 'join');
  const file = (name: string) => join(folder, name);
  /** Key and certificate in one file, so that a renewal replaces both at once. */
  const own = file('machine.pem');
  const trust = file('trust.pem');
  return {
    folder,
    own,
    trust,
    /** Makes the folder. @throws CONFLICT where the file system keeps no modes, or a fleet runs here */
    open(): void {
      if (existsSync(join(home, 'postgres')))
        throw new DomainError(
          'CONFLICT',
          `${home} holds a fleet of its own (\`npm start\`): join from another folder, or name one by SOULFRA_HOME`,
        );
      mkdirSync(folder, { recursive: true, mode: 0o700 });
      chmodSync(folder, 0o700);
      const probe = file('probe');
      writeFileSync(probe, '', { mode: 0o600 });
      chmodSync(probe, 0o600);
      const kept = statSync(probe).mode & 0o777;
      rmSync(probe);
      if (kept !== 0o600)
        throw new DomainError(
          'CONFLICT',
          `${home} lies where files keep no modes (a Windows drive such as /mnt/c?), so others could read this machine’s key: keep the checkout below your Linux home, such as ~/soulfra`,
        );
    },
    read(): Box | undefined {
      const kept = readJson<unknown>(file('box.json'));
      if (kept === undefined || !existsSync(own) || !existsSync(trust)) return undefined;
      return boxSchema.parse(kept);
    },
    write(box: Box): void {
      writeJson(file('box.json'), box, 0o600);
    },
    certificate: () => readFileSync(own, 'utf8'),
    trusted: () => readFileSync(trust, 'utf8'),
    /** Trust first: it is the larger one while two generations live. */
    writeCertificate(certificate: string, privateKey: string, trusted: string): void {
      if (!existsSync(trust) || readFileSync(trust, 'utf8') !== trusted) writeText(trust, trusted, 0o600);
      writeText(own, `${certificate}${privateKey}`, 0o600);
      rmSync(file('pending.json'), { force: true });
    },
    writeTrust: (trusted: string) => writeText(trust, trusted, 0o600),
    /** The key that was made for this purpose and never used; undefined: none. */
    pendingKey(of: string): string | undefined {
      const kept = readJson<unknown>(file('pending.json'));
      const pending = pendingSchema.safeParse(kept);
      return pending.success && pending.data.of === of ? pending.data.privateKey : undefined;
    },
    writePending: (of: string, privateKey: string) => writeJson(file('pending.json'), { of, privateKey }, 0o600),
  };
}
export type BoxFiles = ReturnType<typeof boxFiles>;
