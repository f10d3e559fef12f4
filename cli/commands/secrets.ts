import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { Command } from 'commander';
import { runPart } from '../backup-part.ts';
import { ago, bad, confirm, good, line, printJson, table } from '../output.ts';
import { outputOf, sessionOf } from '../program.ts';
import { argumentsOf, deployProgram, type Machines, tellMachines, type Where } from './deploy-place.ts';

interface Batch {
  resealed: number;
  unreadable: string[];
  next: string | null;
}

interface PayloadKeys {
  encodes: boolean;
  keys: Array<{ id: string; since: string | null; used: string | null; held: boolean; encodes: boolean }>;
}

interface Rotated extends Machines {
  step: 'spread' | 'use';
}

/** In a deployment's folder; every machine takes it up by an apply. */
async function rotateDeployment(where: Where, output: ReturnType<typeof outputOf>): Promise<void> {
  // Of the step before, while the new keys do not seal yet.
  const question = existsSync(join(where.out, 'secrets', 'next_keys.json'))
    ? 'New keys are spread. Was every machine applied since, so that all open by them? Then they seal from now on.'
    : 'Make new keys, which every machine has to have before they seal?';
  if (!(await confirm(question, output))) return;
  const done = await runPart<Rotated>(deployProgram, ['rotate', ...argumentsOf(where)], { quiet: output.json });
  if (output.json) return printJson(done);
  const { step } = done;
  const out = relative(process.cwd(), done.folder) || '.';
  line(
    step === 'spread'
      ? `${good('✔')} new keys stand in ${out}/secrets; nothing is sealed under them yet`
      : `${good('✔')} the new keys seal from now on; the ones before stay behind them, and open`,
  );
  tellMachines(done);
  line(
    step === 'spread'
      ? `  then, with all of them up: soulfra secrets rotate --out ${out}`
      : '  then, with all of them up: soulfra secrets reseal, until it says 0',
  );
}

export function secretCommands(program: Command): void {
  const secrets = program.command('secrets').description('the keys that secrets in the database are sealed under');

  secrets
    .command('rotate')
    .description(
      'new keys for the fleet of this folder: its next start seals all anew under them and forgets the old ones; of a deployment by two steps',
    )
    .option('--out <folder>', 'of a deployment in place of that: the folder that `soulfra deploy init` made')
    .option('--file <file>', 'with --out: which fleet.yaml', 'fleet.yaml')
    .action(async ({ out, file }: { out?: string; file: string }, command: Command) => {
      const output = outputOf(command);
      if (out !== undefined) return rotateDeployment({ out, file }, output);
      if (!(await confirm('Make new keys? npm start has to be started again, to seal all anew.', output))) return;
      await runPart('deploy/embedded/rotate-secrets.ts', [], { quiet: true });
      if (output.json) return printJson({ begun: true });
      line(`${good('✔')} new keys stand in secrets.json, the old ones beside them`);
      line('  npm start, now or after Ctrl-C, seals all anew and forgets the old ones; killed in between, it goes on');
    });

  secrets
    .command('reseal')
    .description('seal all anew, where keys of before stand behind those of now')
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
      for (const row of unreadable) line(`${bad('✖')} ${row} is under none of the keys`);
      if (resealed > 0) line('  run it again until it says 0');
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
          ['USED', (key) => ago(key.used)],
          ['THE API HAS IT', (key) => (key.held ? 'yes' : 'no')],
          ['', (key) => (key.encodes ? 'encodes' : '')],
        ]),
      );
    });

  secrets
    .command('retire-payload-key')
    .argument('<key>', 'its id')
    .option('--anyway', 'although something encodes by it, or open workflows hold something under it')
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
