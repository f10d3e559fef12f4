import type { Command } from 'commander';
import { CommandFailure, exitCodes } from '../failures.ts';
import { licensePath } from '../licenses.ts';
import { type VerifyOptions, verifyFile } from '../offline-licenses.ts';
import { good, line, plain, printJson, warn } from '../output.ts';
import { durationOption, outputOf, sessionOf } from '../program.ts';
import { save } from '../save.ts';

/** What proves a license offline, and its proof. */
export function licenseFileCommands(licenses: Command): void {
  licenses
    .command('file')
    .argument('<license>', 'its id')
    .option('--activation <id>', 'whose place it holds in')
    .option('--ttl <duration>', 'how long it holds, such as 12h or 30d', durationOption)
    .option('-o, --output <file>', 'default: the standard output')
    .description('a signed file that proves it offline')
    .action(
      async (
        id: string,
        { activation: activationId, ttl: ttlSeconds, output }: { activation?: string; ttl?: number; output?: string },
        command: Command,
      ) => {
        const { client } = sessionOf(command);
        await save((await client.download(licensePath(id, 'file'), { activationId, ttlSeconds })).body, output);
      },
    );

  licenses
    .command('download')
    .argument('<license>', 'its id')
    .option('-o, --output <file>', 'default: the standard output')
    .description('the package that it permits, a .loop file')
    .action(async (id: string, { output }: { output?: string }, command: Command) => {
      const { client } = sessionOf(command);
      const { url } = await client.post<{ url: string }>(licensePath(id, 'download'));
      await save((await client.download(url.slice('/v1'.length))).body, output);
    });

  licenses
    .command('revocations')
    .option('--issuer <user>', 'default: the operator of the installation')
    .option('-o, --output <file>', 'default: the standard output')
    .description('the signed list of what is not to be honoured')
    .action(async ({ issuer, output }: { issuer?: string; output?: string }, command: Command) => {
      await save((await sessionOf(command).client.download('/revocations', { issuer })).body, output);
    });

  licenses
    .command('verify')
    .argument('<file>', 'made by `soulfra license file`')
    .option('--keys <file>', 'made by `soulfra keys export`; default: what `soulfra keys pin` has pinned')
    .option('--issuer <user>', 'whose license it must be; default: the one whose keys are pinned')
    .option('--revocations <file>', 'made by `soulfra license revocations`')
    .option('--package <sha256>', 'whether it is of this package')
    .option('--place <machine>', 'where it is to be used')
    .option('--commercial', 'whether it permits commercial use')
    .description('verify a license file offline, with pinned keys alone')
    .action(async (file: string, options: VerifyOptions, command: Command) => {
      const verdict = await verifyFile(file, options);
      const { code, holds, explanation, license } = verdict;
      if (outputOf(command).json) printJson(verdict);
      else {
        if (holds) line(`${code === 'VALID' ? good('✔') : warn('●')} ${code}: ${explanation}`);
        if (license !== undefined) {
          line(`license  ${plain(license.license)} (${plain(license.kind)}) of ${plain(license.holder)}`);
          line(`issuer   ${plain(license.issuer)}`);
          line(`package  ${plain(license.package)}`);
          if (license.activation !== null) line(`place    ${plain(license.activation.place)}`);
          line(`until    ${new Date(license.fileExpiresAt * 1000).toISOString()}`);
        }
      }
      if (!holds)
        throw new CommandFailure(`${file} does not hold: ${explanation}`, { exitCode: exitCodes.failed, code });
    });
}
