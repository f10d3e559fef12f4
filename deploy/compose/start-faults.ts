/** What the last lines of a part that does not come up say that its operator can mend. */

interface Known {
  says: RegExp;
  mend: (found: RegExpMatchArray, folder: string) => string;
}

const known: readonly Known[] = [
  {
    // Postgres has the password in its data; the file is only what the others say.
    says: /password authentication failed for user "?(\w+)"?/,
    mend: ([, user], folder) =>
      `the secret is wrong: ${folder}/secrets/${user}_password is not the one that Postgres was made with. Put it back from your copy of the folder (docs/backup.md), and init anew`,
  },
  {
    says: /WRONGPASS|NOAUTH/,
    mend: (_, folder) =>
      `the secret is wrong: Redis was started with another ${folder}/secrets/redis_password. Start it anew with what reads it`,
  },
  {
    says: /No space left on device|[Dd]isk quota exceeded/,
    mend: (_, folder) => `the disk is full: make room (df -h ${folder})`,
  },
  {
    says: /[Aa]ddress already in use|EADDRINUSE|port is already allocated/,
    mend: () => 'a port was taken meanwhile: ss -ltnp says by whom. Stop that, or choose another port in fleet.yaml',
  },
];

/** @param said lines of the part's log @param folder of the kit */
export function mendsFor(said: string, folder: string): string[] {
  return known.flatMap(({ says, mend }) => {
    const found = says.exec(said);
    return found === null ? [] : [mend(found, folder)];
  });
}
