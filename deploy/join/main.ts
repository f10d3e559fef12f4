import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { homeEnvironment } from '../../config/environment.ts';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import { gpuShortfalls } from '../../domain/gpu-check.ts';
import { parseJoinLink } from '../../domain/joins.ts';
import { probeGpus } from '../../integrations/gpu/nvidia-smi.ts';
import { openHome } from '../embedded/home.ts';
import { endLeftovers } from '../embedded/leftovers.ts';
import { onEnding } from '../embedded/ending.ts';
import { repositoryRoot, workerPart } from '../embedded/own-parts.ts';
import { createParts } from '../embedded/parts.ts';
import { createScreen } from '../embedded/screen.ts';
import { readCertificate } from '../tls/authority.ts';
import { type Box, boxFiles } from './box-files.ts';
import { joinFleet, renewIfDue, workerVariables } from './box.ts';

const usage = `npm run join -- https://HOST:PORT#TOKEN   joins the fleet that printed this line (soulfra machine invite)
npm run join                              goes on as the machine that this box has joined as`;
const lookEveryMs = 60_000;

/** `npm run join`: makes this box a machine of a fleet that runs elsewhere, and runs its worker. Opens no port. */
async function join(line: string | undefined): Promise<void> {
  const screen = createScreen(process.stdout);
  const env = process.env;
  const dir = resolve(homeEnvironment(env).home);
  refuseWindowsDrive(dir);
  const files = boxFiles(dir);
  files.open();
  const home = openHome(env, process.cwd());
  const left = await endLeftovers(home);
  if (left.length > 0) screen.line(`  ended what a killed start had left: ${left.join(', ')}`);

  if (line !== undefined) {
    const link = parseJoinLink(line);
    if (link === undefined)
      throw new TypeError(
        'that is no line of `soulfra machine invite`: it is https://HOST:PORT#TOKEN, whole and in quotes',
      );
    const step = screen.step('Joining');
    step.progress(`${link.host}:${link.port}`);
    const joined = await joinFleet(files, link).catch((err: unknown) => {
      step.fail(err instanceof Error ? err.message : String(err));
      throw err;
    });
    const { notAfter } = readCertificate(files.certificate());
    step.done(
      `${joined.fleet} as ${joined.machineId}; the certificate lives until ${notAfter.slice(0, 10)} and renews itself`,
    );
  }
  const box = files.read();
  if (box === undefined) throw new TypeError('this box has not joined a fleet yet');
  for (const text of await machineLines(box)) screen.line(`  ${text}`);

  const parts = createParts({
    home,
    onEvent: (text) => screen.line(`  ${text}`),
    onFailed: (_part, why) => {
      screen.line(`✖ ${why}`);
      void ending.end(1);
    },
  });
  const ending = onEnding({ screen, parts, last: () => clearInterval(timer) });
  let told = '';
  const look = () =>
    renewIfDue(files, box).then(
      (done) => {
        told = '';
        if (done === 'renewed') screen.line('  the certificate was renewed; the worker takes it up');
        if (done === 'trust') screen.line('  the fleet’s authority changes; what is trusted was taken over');
      },
      (err: unknown) => {
        const text = err instanceof Error ? err.message : String(err);
        if (text !== told) screen.line(`  ! ${[text, ...mendOf(err)].join('. ')}`);
        told = text;
      },
    );
  const timer = setInterval(() => void look(), lookEveryMs);
  await look();
  // This box is the machine, whatever it is called.
  const given = (name: string, value: string) => (env[name] ? {} : { [name]: value });
  await parts.start(
    workerPart({
      root: repositoryRoot,
      machineId: box.machineId,
      env: {
        ...env,
        ...workerVariables(files, box, dir),
        SOULFRA_LOG_FOLDER: home.path('logs'),
        ...given('SOULFRA_HOST_NAME', box.machine.host),
        ...(env['SOULFRA_METRICS_PORT'] ? {} : { SOULFRA_METRICS: 'off' }),
      },
    }),
  );
  screen.line(
    `✔ ${box.machineId} works for ${box.fleet} at ${box.host}:${box.port}   log ${home.log(`worker-${box.machineId}`)}   Stop Ctrl-C   again: npm run join`,
  );
}

/** What fleet.yaml says of this machine, and what is here. */
async function machineLines({ machine, machineId }: Box): Promise<string[]> {
  const declared = machine.gpus.map(({ name, vramGiB }) => `${name} ${vramGiB} GiB`).join(', ') || 'no GPU';
  const server = machine.modelServer;
  const models =
    server === null
      ? 'no model server'
      : server.url === null
        ? `${server.kind} without a url: it runs simulated`
        : `${server.kind} at ${server.url}`;
  const lines = [
    `fleet.yaml says of ${machineId}: ${declared}; ${models}${machine.coordinates ? '; coordinates' : ''}`,
  ];
  try {
    const seen = await probeGpus();
    lines.push(
      `here: ${seen.map(({ name, memoryTotalMiB }) => `${name} ${memoryTotalMiB === null ? '' : `${(memoryTotalMiB / 1024).toFixed(1)} GiB`}`).join(', ') || 'no NVIDIA card (no nvidia-smi)'}`,
    );
    const short = gpuShortfalls(machine.gpus, seen);
    if (short.length > 0)
      lines.push(
        ...short.map((text) => `! ${text}`),
        'mend machines[].gpus in fleet.yaml on the first box, then `soulfra apply`',
      );
  } catch (err) {
    lines.push(`! the cards of this box were not read: ${err instanceof Error ? err.message : String(err)}`);
  }
  return lines;
}

/** WSL2 keeps Linux modes and locks on its own disk only. */
function refuseWindowsDrive(dir: string): void {
  const release = existsSync('/proc/version') ? readFileSync('/proc/version', 'utf8') : '';
  if (!/microsoft/i.test(release) || !/^\/mnt\/[a-z](?:\/|$)/.test(dir)) return;
  throw new DomainError(
    'CONFLICT',
    `${dir} lies on a Windows drive, where files keep no modes: keep the checkout below your Linux home, such as ~/soulfra, or set SOULFRA_HOME to a folder there`,
  );
}

function mendOf(err: unknown): string[] {
  return isDomainError(err) && err.code !== 'CONFLICT' && err.code !== 'INVALID_INPUT'
    ? [errorTable[err.code].mend]
    : [];
}

try {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { help: { type: 'boolean', short: 'h' } },
  });
  if (values.help || positionals.length > 1) process.stdout.write(`${usage}\n`);
  else await join(positionals[0]);
} catch (err) {
  const isUsage = err instanceof TypeError;
  const text = err instanceof Error ? err.message : String(err);
  process.stderr.write(`✖ ${[text, ...(isUsage ? [usage] : mendOf(err))].join('\n  ')}\n`);
  process.exit(isUsage ? 2 : 1);
}
