import type { Command } from 'commander';
import { runPart } from '../backup-part.ts';
import { ago, bad, confirm, good, line, printJson, table } from '../output.ts';
import { outputOf, sessionOf } from '../program.ts';

interface Batch {
  resealed: number;
  unreadable: string[];
  next: string | null;
}

interface PayloadKeys {
  encodes: boolean;
  keys: Array<{ id: string; since: string | null; held: boolean; encodes: boolean }>;
}

export function secretCommands(program: Command): void {
  const secrets = program.command('secrets').description('the keys that secrets in the database are sealed under');

  secrets
    .command('rotate')
    .description(
      'new keys for the fleet of this folder: its next start seals all anew under them and forgets the old ones',
    )
    .action(async (_options: object, command: Command) => {
      const output = outputOf(command);
      if (!(await confirm('Make new keys? npm start has to be started again, to seal all anew.', output))) return;
      await runPart('deploy/embedded/rotate-secrets.ts', [], { quiet: true });
      if (output.json) return printJson({ begun: true });
      line(`${good('✔')} new keys stand in secrets.json, the old ones beside them`);
      line('  npm start, now or after Ctrl-C, seals all anew and forgets the old ones; killed in between, it goes on');
    });

  secrets
    .command('reseal')
    .description('seal all anew, where SOULFRA_SECRET_KEY_OLD or SOULFRA_WEBHOOK_KEY_OLD stand beside new keys')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      let resealed = 0;
      const unreadable: string[] = [];
      let from: string | null | undefined;
      while (from !== null) {
        const batch: Batch = await client.post<Batch>('/secrets/reseal', from === undefined ? {} : { from });
        resealed += batch.resealed;
        unreadable.push(...batch.unreadable);
        from = batch.next;
      }
      if (json) return printJson({ resealed, unreadable });
      line(`${good('✔')} ${resealed} secrets sealed anew`);
      for (const row of unreadable) line(`${bad('✖')} ${row} is under neither key`);
      if (resealed > 0) line('  run it again until it says 0, then take the old keys out of the environment');
    });

  secrets
    .command('payload-keys')
    .description('ids of the keys that payloads in Temporal are encoded under, and which of them the API has')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const { encodes, keys } = await client.get<PayloadKeys>('/codec/keys');
      if (json) return printJson({ encodes, keys });
      line(encodes ? 'payloads are encoded' : 'payloads are not encoded (SOULFRA_PAYLOAD_CODEC is off for the API)');
      if (keys.length === 0) return;
      line(
        table(keys, [
          ['KEY', (key) => key.id],
          ['SINCE', (key) => ago(key.since)],
          ['THE API HAS IT', (key) => (key.held ? 'yes' : 'no')],
          ['', (key) => (key.encodes ? 'encodes' : '')],
        ]),
      );
    });

  secrets
    .command('retire-payload-key')
    .argument('<key>', 'its id')
    .option('--anyway', 'although workflows are open that began before another key came into use')
    .option('--dry-run', 'check only')
    .description('workers may start without it from now on; then take it out of SOULFRA_PAYLOAD_KEYS')
    .action(async (id: string, { anyway, dryRun }: { anyway?: boolean; dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const question = `Retire ${id}? What is encoded under it can be read only by who keeps it.`;
      if (!dryRun && !(await confirm(question, session))) return;
      const answer = await session.client.delete<{ would?: string } | undefined>(
        `/codec/keys/${encodeURIComponent(id)}`,
        { anyway, dryRun },
      );
      if (session.json) return printJson(answer ?? { retired: id });
      line(
        answer?.would === undefined
          ? `${good('✔')} ${id} is retired: take it out of SOULFRA_PAYLOAD_KEYS, or of payloadKeys in secrets.json`
          : `would ${answer.would}`,
      );
    });
}
