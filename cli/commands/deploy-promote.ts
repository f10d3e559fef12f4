import { bad, dim, good } from '../output.ts';

/** What `soulfra deploy promote` tells, and when. */

export interface Promoted {
  folder: string;
  machine: string;
  from: string;
  to: string;
  /** Of the standby itself alone. */
  loss?: string;
  missingSince?: string | null;
  url?: string;
}

interface Ways {
  promote: (args: string[]) => Promise<Promoted>;
  backUp: (args: string[]) => Promise<unknown>;
  say: (text: string) => void;
  sayJson: (value: object) => void;
}

/**
 * All of it is told before the first backup begins: that one may take hours, and the other machines have to be moved over meanwhile.
 * It is the first one all the same where the backup fails: that is told, and nothing undone.
 */
export async function promoteAndBackUp(
  args: readonly string[],
  { promote, backUp, say, sayJson }: Ways,
): Promise<void> {
  const done = await promote(['promote', ...args]);
  const { folder, from, to, machine, loss, missingSince, url } = done;
  if (machine !== to) {
    say(`${good('✔')} ${machine} follows ${to}`);
    return sayJson(done);
  }
  say(`${missingSince === null ? good('✔') : bad('!')} ${to} is the first one now: ${url}`);
  say(`  ${loss}`);
  say(`  ${from} must not come back as it was: make it the standby (deploy/runbooks/04-promote-the-standby.md)`);
  say(dim('  soulfra health; soulfra ledger reconcile; soulfra audit --since 1h --outcome unknown'));
  say(dim(`  on each other machine: soulfra deploy promote --machine ID`));
  const again = `soulfra deploy backup --out ${folder} --machine ${to}`;
  say(`  its first backup is made now, and read back whole. Ctrl-C ends that alone: ${again} makes it later`);
  const unsaved = await backUp(['backup', '--out', folder, '--machine', to]).then(
    () => null,
    (err: Error) => err.message,
  );
  say(
    unsaved === null
      ? `${good('✔')} ${to} has its first backup`
      : `${bad('!')} it has no backup yet: ${unsaved}. ${again}`,
  );
  sayJson({ ...done, unsaved });
}
