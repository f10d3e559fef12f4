import { createReadStream, existsSync } from 'node:fs';
import { type Command, InvalidArgumentError } from 'commander';
import { packableKinds } from '../../domain/loop-choice.ts';
import type { LoopManifest } from '../../domain/loop-manifest.ts';
import { loopMediaType, type ReadLoop, readLoop } from '../../domain/loop-packages.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { badInput } from '../failures.ts';
import { ago, bold, dim, good, line, plain, printJson, table, warn } from '../output.ts';
import { keysFor } from '../pinned-keys.ts';
import { limitOption, outputOf, sessionOf } from '../program.ts';
import { save } from '../save.ts';

interface Named {
  id: string;
  kind: string;
  occurredAt: string;
  importance: number;
  text: string;
}
interface Preview {
  packageId: string | null;
  manifest: Omit<LoopManifest, 'madeBy'>;
  goesIn: Named[];
  goesInCount: number;
  staysOut: Array<Named & { reason: string }>;
  staysOutCount: number;
  reasons: Array<{ reason: string; why: string; count: number }>;
}
interface Package {
  id: string;
  agentId: string;
  name: string;
  contentHash: string;
  keyId: string;
  memories: number;
  reflections: number;
  bytes: number;
  madeAt: string;
}
interface Installed {
  agentId: string;
  name: string;
  installed: boolean;
  memories: number;
  contentHash: string;
  keyId: string;
  trusted: boolean;
  dryRun?: true;
}
interface Choice {
  output?: string;
  since?: string;
  kinds?: string[];
  memories: boolean;
  leastImportance?: number;
  personaQuotes?: boolean;
  dryRun?: boolean;
}

export function loopCommands(program: Command): void {
  const loop = program.command('loop').description('agents as signed packages: pack, verify, install');

  loop
    .command('pack')
    .argument('<agent>', 'id of the agent')
    .option('-o, --output <file>', 'default: the agent’s id and .loop')
    .option('--since <time>', 'what happened before stays out, ISO 8601')
    .option('--kinds <kinds>', `only these, with commas: ${packableKinds.join(', ')}`, (text) => text.split(','))
    .option('--least-importance <n>', '1 to 10', importance)
    .option('--no-memories', 'the persona alone')
    .option('--persona-quotes', 'id, name, persona and traits may go out although they say what is private')
    .option('--dry-run', 'list what goes in, what stays out and why; make nothing')
    .description('make a .loop file of an agent; private memories never go in')
    .action(async (agent: string, options: Choice, command: Command) => {
      const { client, json } = sessionOf(command);
      const { output = `${agent}.loop`, dryRun, ...choice } = options;
      const path = `/agents/${encodeURIComponent(agent)}/loops`;
      if (dryRun) {
        const preview = await client.post<Preview>(path, choice, { dryRun });
        return json ? printJson(preview) : tellPreview(preview);
      }
      const made = await client.post<Package>(path, choice);
      await save((await client.download(`/loops/${made.id}/archive`)).body, output);
      if (json) return printJson({ ...made, file: output });
      line(`${good('✔')} ${bold(plain(made.name))} in ${output}: ${countsOf(made)}, ${made.bytes} bytes`);
      line(dim(`${made.id} · content ${made.contentHash} · signed with ${made.keyId}`));
    });

  loop
    .command('verify')
    .argument('<file>', 'a .loop file')
    .option('--keys <file>', 'trust these keys, made by `soulfra keys export`; default: those that are pinned')
    .option('--issuer <user>', 'whose package it must be; default: of any whose keys are pinned')
    .option('--trust-unknown', 'say what it holds whoever signed it')
    .description('whether a package is whole and signed by a pinned key; needs nothing running')
    .action(async (file: string, options: Trust & { keys?: string }, command: Command) => {
      const read = await readFile(file, options);
      const { manifest, trusted, issuer } = read;
      if (!trusted) warnOfKey(manifest.madeBy.keyId);
      if (outputOf(command).json) return printJson({ valid: true, trusted, issuer: issuer ?? null, manifest });
      tellPackage(read);
    });

  loop
    .command('install')
    .argument('<file>', 'a .loop file')
    .option('--as <id>', 'id of the agent; default: made of its name')
    .option('--name <name>', 'in the place of the name in the package')
    .option('--archetype <archetype>', 'whose model, cadence and limits it gets; default: its own')
    .option('--issuer <user>', 'whose package it must be; default: of any whose keys are pinned, or your own')
    .option('--trust-unknown', 'install it although its key is not pinned')
    .option('--dry-run', 'say what would happen; make nothing')
    .description('an equal agent is born of a package, with its memories; twice adds nothing')
    .action(
      async (
        file: string,
        { issuer: wanted, ...options }: Trust & { as?: string; name?: string; archetype?: string; dryRun?: boolean },
        command: Command,
      ) => {
        const { client, json } = sessionOf(command);
        // Read here first: what was tampered with is not even sent, and the API is told of a pin that is this person's.
        // Nobody named: an own key that is not pinned here is known to the API.
        const trustUnknown = options.trustUnknown === true || wanted === undefined;
        const { manifest, trusted, issuer } = await readFile(file, { issuer: wanted, trustUnknown });
        const { keyId } = manifest.madeBy;
        const query = { ...options, ...(trusted ? { trustKey: keyId } : {}) };
        const installed = await client.file<Installed>('/loops', file, loopMediaType, query);
        if (!installed.trusted) warnOfKey(installed.keyId);
        if (json) return printJson({ ...installed, issuer: issuer ?? null });
        const verb = installed.installed
          ? installed.dryRun
            ? 'would be born'
            : 'is born'
          : 'came with this package before';
        const added = installed.installed
          ? ` with ${installed.memories} ${installed.memories === 1 ? 'memory' : 'memories'}`
          : '; nothing is added';
        line(`${good('✔')} ${bold(plain(installed.name))} (${installed.agentId}) ${verb}${added}`);
        line(dim(`signed with ${keyId}${issuer === undefined ? '' : ` of ${plain(issuer)}`}`));
      },
    );

  limitOption(loop.command('list').description('packages that were made here, the last first')).action(
    async ({ limit }: { limit: number }, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Package>('/loops', {}, limit);
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['ID', ({ id }) => id],
          ['AGENT', ({ agentId }) => agentId],
          ['MADE', ({ madeAt }) => ago(madeAt)],
          ['MEMORIES', ({ memories }) => memories],
          ['BYTES', ({ bytes }) => bytes],
          ['CONTENT', ({ contentHash }) => contentHash],
        ]),
      );
    },
  );

  loop
    .command('download')
    .argument('<package>', 'id of the package')
    .requiredOption('-o, --output <file>', 'where to')
    .description('the .loop file of a package that was made before')
    .action(async (id: string, { output }: { output: string }, command: Command) => {
      const { client } = sessionOf(command);
      await save((await client.download(`/loops/${encodeURIComponent(id)}/archive`)).body, output);
    });
}

function importance(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value)) throw new InvalidArgumentError('It is a whole number from 1 to 10.');
  return value;
}

interface Trust {
  issuer?: string | undefined;
  trustUnknown?: boolean | undefined;
}
/** `issuer`: as whose its key is pinned. */
type TrustedLoop = ReadLoop & { issuer: string | undefined };

/** @throws KEY_NOT_PINNED, also where the key is pinned as one of another issuer than asked for */
async function readFile(
  file: string,
  { keys: keyFile, issuer: wanted, trustUnknown = false }: Trust & { keys?: string },
): Promise<TrustedLoop> {
  if (!existsSync(file)) throw badInput(`there is no ${file}`);
  const pinned = new Map(keysFor('packages', { file: keyFile }).map(({ keyId, issuer }) => [keyId, issuer]));
  const isPinned = (keyId: string) => pinned.has(keyId) && (wanted === undefined || pinned.get(keyId) === wanted);
  const read = await readLoop(createReadStream(file), { checks: hostCrypto, isPinned, trustUnknown });
  const { keyId } = read.manifest.madeBy;
  return { ...read, issuer: read.trusted ? pinned.get(keyId) : undefined };
}

/** On the standard error, so that no pipe swallows it. */
function warnOfKey(keyId: string): void {
  process.stderr.write(
    `${warn(`WARNING: nobody here has pinned ${keyId}. The package is whole, but anybody may have made it.`)}\n`,
  );
}

function countsOf({ memories, reflections }: { memories: number; reflections: number }): string {
  return `${memories} ${memories === 1 ? 'memory' : 'memories'}, ${reflections} of them reflections`;
}

function tellPackage({ manifest, persona, issuer }: TrustedLoop): void {
  const { agentId, madeBy, contentHash, models } = manifest;
  line(`${good('✔')} ${bold(plain(persona.name))} (${agentId}): ${countsOf(manifest)}`);
  line(plain(persona.persona));
  for (const { id, license, commercialUse } of models)
    line(dim(`${plain(id)}: ${plain(license ?? 'no license named')}, commercial use ${commercialUse}`));
  const whose = issuer === undefined ? '' : ` of ${plain(issuer)}`;
  line(dim(`content ${contentHash} · signed with ${madeBy.keyId}${whose}`));
}

function tellPreview({ manifest, goesIn, goesInCount, staysOut, staysOutCount, reasons, packageId }: Preview): void {
  const columns: Array<[string, (row: Named & { reason?: string }) => string | number | undefined]> = [
    ['HAPPENED', ({ occurredAt }) => occurredAt.slice(0, 16).replace('T', ' ')],
    ['KIND', ({ kind }) => kind],
    ['IMPORTANCE', (row) => row.importance],
  ];
  const text: (typeof columns)[number] = ['TEXT', (row) => row.text];
  const more = (count: number) => count > 0 && line(dim(`… and ${count} more`));
  line(bold(`goes in: ${countsOf(manifest)}`));
  if (goesIn.length > 0) line(table(goesIn, [...columns, text]));
  more(goesInCount - goesIn.length);
  line(bold(`stays out: ${staysOutCount}`));
  for (const { reason, why, count } of reasons) line(`${count} ${reason}: ${why}`);
  if (staysOut.length > 0) line(table(staysOut, [...columns, ['REASON', ({ reason }) => reason], text]));
  more(staysOutCount - staysOut.length);
  line(dim(packageId === null ? 'nothing was made' : `nothing was made: ${packageId} is this very content`));
}
