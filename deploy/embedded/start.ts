import { mkdirSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import { resolve } from 'node:path';
import { type ApiClient, createApiClient } from './api-client.ts';
import { bearFleet, machinesReady, recordBirth, seedWorld } from './birth.ts';
import { controlSocketPath, serveControl } from './control.ts';
import { type CycleFigures, runCycle } from './cycle.ts';
import { followMachines } from './follow-machines.ts';
import { type Env, given, openHome, readSecretFiles } from './home.ts';
import { finishSwap } from './home-swap.ts';
import { needRoomToStart } from './room.ts';
import { lastScreen } from './last-screen.ts';
import { endLeftovers, recordParts } from './leftovers.ts';
import { sweepScratch } from './scratch-folders.ts';
import { parseOptions, type StartOptions, usage } from './options.ts';
import { apiPart, edgePartName, machineOfPart, repositoryRoot, workerPart, workerPartName } from './own-parts.ts';
import { refuseMoved } from './moved.ts';
import { createParts } from './parts.ts';
import { prometheusPartName, startPrometheus } from './prometheus.ts';
import { takePorts, workerMetricsEnv } from './ports.ts';
import { finishRotation, keyVariables, payloadVariables } from './rotation.ts';
import { createScreen } from './screen.ts';
import { openOperatorToken, openSecrets } from './secrets.ts';
import { startServices } from './services.ts';
import { startUi } from './ui.ts';
import { appStamp, readStamp, refuseNewerData, writeStamp } from './version.ts';
import { onEnding } from './ending.ts';
import { createEdgeControl } from './edge.ts';
import { homeEnvironment } from '../../config/environment.ts';
import { fullDisk } from '../backup/folders.ts';
import { parseFleet } from '../../config/fleet-file.ts';
import { DomainError, errorTable, isDomainError } from '../../domain/errors.ts';
import { type Fleet, metricsSchema } from '../../domain/fleet.ts';
import { workerMetricsPorts } from '../../domain/metrics-ports.ts';

/** `npm start`: everything on this box from nothing, and down again in order. */
async function start(options: StartOptions, env: Env): Promise<void> {
  const cwd = process.cwd();
  const screen = createScreen(options.json ? process.stderr : process.stdout);
  const dir = resolve(cwd, homeEnvironment(env).home);
  const kept = finishSwap(dir);
  if (kept !== undefined) screen.line(`  ended a restore that was cut off; what was there before: ${kept}`);
  needRoomToStart(dir);
  const home = openHome(env, cwd);
  const left = await endLeftovers(home);
  if (left.length > 0) screen.line(`  ended what a killed start had left: ${left.join(', ')}`);
  await sweepScratch(home, env);
  if (options.reset) {
    rmSync(home.dir, { recursive: true, force: true });
    for (const folder of ['logs', 'run']) mkdirSync(home.path(folder), { recursive: true });
  }
  // Before anything that takes long: by it a second start beside this one is refused.
  recordParts(home, []);
  const data = readStamp(home);
  const app = appStamp(repositoryRoot);
  refuseNewerData(data, app);
  refuseMoved(home.dir);

  let control: Server | undefined;
  const parts = createParts({
    home,
    onEvent: (text) => screen.line(`  ${text}`),
    onFailed: (part, why) => {
      screen.line(`✖ ${why}`);
      // Who only looks on is no reason to stop the rest.
      if (part === prometheusPartName || part === edgePartName) return;
      const machineId = machineOfPart(part);
      // The fleet does without a machine that keeps dying, not without its last one or any other part.
      const working = parts.list().some(({ name, state }) => machineOfPart(name) !== undefined && state === 'up');
      if (machineId === undefined || !working) void ending.end(1);
      else screen.line(`  the other machines go on; once it is mended: soulfra fleet start ${machineId}`);
    },
  });
  const ending = onEnding({
    screen,
    parts,
    last: () => {
      control?.close();
      rmSync(controlSocketPath(home), { force: true });
    },
  });

  try {
    const ports = await takePorts(home);
    const secrets = openSecrets(home);
    await startUi(repositoryRoot, screen);
    const url = `http://127.0.0.1:${ports.api}`;
    const payloadKeys = payloadVariables(env, home, secrets);
    // Its UI asks the API what payloads say, where some may be encoded.
    const isEncoded = payloadKeys['SOULFRA_PAYLOAD_KEYS'] !== undefined || given(env, 'SOULFRA_PAYLOAD_KEYS');
    const codecEndpoint = isEncoded ? `${url}/v1/codec` : undefined;
    const services = await startServices({ home, env, ports, secrets, parts, screen, data, codecEndpoint });
    const operator = openOperatorToken(home);
    const partEnv: Env = {
      SOULFRA_PUBLIC_URL: url,
      ...env,
      DATABASE_URL: services.databaseUrl,
      REDIS_URL: services.redisUrl,
      TEMPORAL_ADDRESS: services.temporalAddress,
      SOULFRA_HOME: home.dir,
      SOULFRA_LOG_FOLDER: home.path('logs'),
      SOULFRA_API_PORT: String(ports.api),
      SOULFRA_CONTROL_SOCKET: controlSocketPath(home),
      // Both databases are ours: who works here can back them up.
      ...(services.postgresMajor === null || services.temporal === null ? {} : { SOULFRA_EMBEDDED: 'yes' }),
      ...(services.temporal === null ? {} : { SOULFRA_TEMPORAL_UI: `http://127.0.0.1:${ports.temporalUi}` }),
      SOULFRA_BOOTSTRAP_TOKEN_FILE: operator.file,
    };
    const webhookKey = keyVariables(env, 'SOULFRA_WEBHOOK_KEY', secrets.webhookKey, secrets.webhookKeyOld);
    // Without a mail server of the operator's own, mail lies in a folder.
    const mailbox = given(env, 'SMTP_URL') ? undefined : home.path('mail');
    const workerEnv: Env = {
      ...partEnv,
      ...payloadKeys,
      ...webhookKey,
      ...(mailbox === undefined ? {} : { SOULFRA_MAILBOX: mailbox }),
    };
    const api = createApiClient({ url, token: operator.token });
    const prometheus = options.withMetrics
      ? await startPrometheus({ home, env, ports, parts, screen, ownTemporal: services.temporal !== null })
      : undefined;
    // A worker that is started again keeps its ports.
    const places = new Map<string, number>();
    const edge = createEdgeControl({
      home,
      ports,
      parts,
      env: { ...partEnv, SOULFRA_MACHINE_KEY: secrets.machineKey },
    });
    /** Machines whose worker runs on another box. */
    const joined = async () => {
      const living = await api.all<{ machineId: string | null }>('/certificates?state=living&kind=machine');
      return new Set(living.flatMap(({ machineId }) => machineId ?? []));
    };
    const startMachine = async (machineId: string) => {
      if ((await joined()).has(machineId))
        throw new DomainError(
          'CONFLICT',
          `${machineId} has joined from another box, where its worker runs; to run it here: soulfra machine revoke ${machineId}`,
        );
      if (!places.has(machineId)) places.set(machineId, places.size);
      const env: Env = { ...workerEnv, ...workerMetricsEnv(ports, places.get(machineId)!) };
      if (prometheus) {
        const fleet = await appliedFleet(api);
        const { SOULFRA_METRICS_PORT: given } = env;
        const at = workerMetricsPorts(fleet, machineId, given === undefined ? undefined : Number(given));
        prometheus.scrapeWorker(machineId, at, fleet.metrics);
      }
      return parts.start(workerPart({ root: repositoryRoot, machineId, env }));
    };
    control = await serveControl(controlSocketPath(home), {
      parts: () => parts.list(),
      killMachine: async (id) => ({ pid: await parts.kill(workerPartName(id)) }),
      startMachine,
      openEdge: (listen) => edge.open(listen),
      stop: () => void ending.end(0),
    });

    const apiStep = screen.step('API');
    apiStep.progress('starting, migrating the database');
    const secretKey = keyVariables(env, 'SOULFRA_SECRET_KEY', secrets.secretKey, secrets.secretKeyOld);
    // Workers alone send mail and tell people.
    const { SMTP_URL: _url, SMTP_URL_FILE: _file, ...withoutMail } = partEnv;
    const { SOULFRA_NOTIFY_SECRETS: _secrets, SOULFRA_NOTIFY_SECRETS_FILE: _secretsFile, ...apiBase } = withoutMail;
    const apiEnv: Env = {
      ...apiBase,
      ...payloadKeys,
      ...secretKey,
      ...webhookKey,
      SOULFRA_METRICS_PORT: String(ports.apiMetrics),
      ...(prometheus === undefined ? {} : { SOULFRA_PROMETHEUS_URL: `http://127.0.0.1:${prometheus.port}` }),
    };
    await parts.start(apiPart({ root: repositoryRoot, url, env: apiEnv }));
    apiStep.done(`:${ports.api}`);
    await finishRotation({ home, secrets, env }, api, screen);
    writeStamp(home, { ...app, postgresMajor: services.postgresMajor, temporal: services.temporal });

    prometheus?.scrapeApi((await appliedFleet(api)).metrics);
    const birth = await bearFleet(api, screen, home, { file: options.fleet, empty: options.empty });
    if (birth?.step === 'applied') {
      await seedWorld(api, screen, { file: options.fleet, endsAt: birth.endsAt });
      recordBirth(home, birth, 'seeded');
    }
    const machines = (await api.all<{ id: string }>('/machines')).map(({ id }) => id);
    const away = await joined();
    const here = (options.machines ?? machines).filter((id) => !away.has(id));
    if (edge.isWanted(options.listen)) {
      const step = screen.step('Edge');
      const at = await edge.open(options.listen).catch((err: unknown) => {
        step.fail(err instanceof Error ? err.message : String(err));
        // Opened as the last start had it: without it the fleet goes on, only machines of other boxes wait.
        if (options.listen !== undefined) throw err;
      });
      const names = [...away].join(', ') || 'none has joined yet: soulfra machine invite MACHINE';
      if (at) step.done(`${at.host}:${at.port}  machines of other boxes, by mutual TLS (${names})`);
    }
    for (const id of here) await startMachine(id);
    await machinesReady(api, screen, here, (id) =>
      parts.list().some(({ name, state }) => name === workerPartName(id) && state === 'failed'),
    );
    // A machine that a later apply adds is started here too; one that leaves ends by itself.
    if (options.machines === undefined) {
      followMachines({
        api,
        known: new Set(machines),
        away,
        joined,
        start: startMachine,
        stop: (id) => parts.stop(workerPartName(id)),
        screen,
        ending: () => ending.begun(),
      });
    }

    let cycle: CycleFigures | undefined;
    if (options.once || birth) cycle = await runCycle(api, screen, birth?.cycleKey);
    if (birth) recordBirth(home, birth, 'done');
    // What a first visit is shown does not wait for the clock, which does it otherwise.
    if (birth && !options.once)
      await api
        .post('/globe/place', {}, birth.cycleKey)
        .catch((err: unknown) => screen.line(`  the globe waits for its Schedule: ${String(err)}`));
    const outside = {
      postgres: services.postgresMajor === null,
      redis: env['REDIS_URL'] !== undefined,
      temporal: services.temporal === null,
    };
    const readySeconds = process.uptime();
    screen.line(
      await lastScreen({ api, home, ports, cwd, outside, cycle, mailbox, prometheus: prometheus?.port, readySeconds }),
    );
    if (!options.once) return;
    await ending.end((cycle?.failed ?? 0) > 0 ? 1 : 0, options.json ? JSON.stringify(cycle) : undefined);
  } catch (thrown) {
    if (ending.begun()) return;
    const err = fullDisk(thrown);
    screen.line([`✖ ${err instanceof Error ? err.message : String(err)}`, ...mendOf(err)].join('\n  '));
    await ending.end(1);
  }
}

/** What processes go by that start now; before the first apply, what counts without a fleet.yaml. */
async function appliedFleet(api: ApiClient): Promise<Pick<Fleet, 'machines' | 'metrics'>> {
  const { items } = await api.get<{ items: unknown[] }>('/fleet/versions?limit=1');
  if (items.length === 0) return { machines: [], metrics: metricsSchema.parse({}) };
  const parsed = parseFleet(await api.text('/fleet/export'), 'the applied fleet');
  if ('errors' in parsed) throw new DomainError('INTERNAL', 'the applied fleet cannot be read');
  return parsed.fleet;
}

/** What the error's own words do not say; the mends of these two are for callers of the API. */
function mendOf(err: unknown): string[] {
  return isDomainError(err) && err.code !== 'UNAVAILABLE' && err.code !== 'CONFLICT' ? [errorTable[err.code].mend] : [];
}

try {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') process.stdout.write(`${usage}\n`);
  else await start(options, readSecretFiles(process.env));
} catch (err) {
  process.stderr.write(`${err instanceof Error ? err.message : String(err)}\n`);
  process.exitCode = err instanceof TypeError ? 2 : 1;
  if (err instanceof TypeError) process.stderr.write(`${usage}\n`);
  else
    process.stderr.write(
      mendOf(err)
        .map((mend) => `${mend}\n`)
        .join(''),
    );
}
