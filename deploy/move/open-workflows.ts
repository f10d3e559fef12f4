import { constants, copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { Client, Connection } from '@temporalio/client';
import { defaultPayloadConverter } from '@temporalio/common';
import { createPayloads, dataConverterOf, type Payloads } from '../../config/payload-codec.ts';
import { DomainError } from '../../domain/errors.ts';
import { type MovedWorkflows, type WayToGoOn, wayToGoOn, waysToGoOn } from '../../domain/fleet-move.ts';
import { needRoom, sizeOf } from '../backup/folders.ts';
import type { Env, Home } from '../embedded/home.ts';
import type { Parts } from '../embedded/parts.ts';
import { freePort } from '../embedded/ports.ts';
import { resolveTemporal, temporalPart } from '../embedded/temporal.ts';
import { readStamp, refuseNewerData } from '../embedded/version.ts';
import { payloadKeysOfHome } from './secrets.ts';

/** What the Temporal of a stopped fleet has open. */

/** Two looks so far apart have to say the same. */
const settleMs = 1_500;

export interface OpenWorkflows {
  /** How many there are of each way to go on. */
  counts: Record<WayToGoOn, number>;
  /** Those that are asked for anew, with what they were given. */
  asked: MovedWorkflows;
  /** Ids of Schedules. */
  paused: string[];
}

/**
 * Asks a copy of the database through the server's own interface, so that what that does meanwhile reaches nobody.
 * @throws CONFLICT naming the types that this version knows no way for; PAYLOAD_KEY_MISSING where what they were given cannot be read
 */
export async function readOpenWorkflows(options: {
  home: Home;
  parts: Parts;
  /** For the copy. */
  spool: string;
  env: Env;
  progress: (text: string) => void;
}): Promise<OpenWorkflows> {
  const { home, parts, spool, env, progress } = options;
  const namespace = env['TEMPORAL_NAMESPACE'] ?? 'default';
  const step = {
    progress: (text: string) => progress(`Temporal: ${text}`),
    done: () => undefined,
    fail: () => undefined,
  };
  const { found } = await resolveTemporal({ ...env, TEMPORAL_ADDRESS: undefined }, home, step);
  if ('address' in found) throw new Error('a stopped fleet has a Temporal of its own');
  refuseNewerData(readStamp(home), { temporal: found.server });
  progress('copying Temporal’s database');
  mkdirSync(spool, { recursive: true, mode: 0o700 });
  const dbFile = `${spool}/temporal.db`;
  copyDatabase(home.path('temporal.db'), dbFile);
  const beganAt = Date.now();
  const port = await freePort();
  await parts.start(
    temporalPart({ binary: found.binary, port, uiPort: undefined, metricsPort: undefined, dbFile, env }),
  );
  const connection = await Connection.connect({ address: `127.0.0.1:${port}` });
  try {
    const payloads = createPayloads({ keys: payloadKeysOfHome(home.dir, env), encodes: false });
    const client = new Client({ connection, namespace, dataConverter: dataConverterOf(payloads) });
    progress('asking Temporal what is under way');
    // What was begun in its last moments is listed once the server has come to it.
    let open = await readOpen(client, payloads, beganAt);
    for (;;) {
      await pause(settleMs);
      const again = await readOpen(client, payloads, beganAt);
      if (isDeepStrictEqual(open, again)) return again;
      open = again;
    }
  } finally {
    await connection.close();
    await parts.stop('temporal');
  }
}

/** No server is at it, so its files are of one moment. */
function copyDatabase(from: string, to: string): void {
  const files = ['', '-wal'].filter((ending) => existsSync(`${from}${ending}`));
  needRoom(
    dirname(to),
    files.reduce((sum, ending) => sum + sizeOf(`${from}${ending}`), 0),
    'a copy of Temporal’s database',
  );
  for (const ending of files) copyFileSync(`${from}${ending}`, `${to}${ending}`, constants.COPYFILE_FICLONE);
}

/** @param beganAt milliseconds since 1970; what began since was begun by a Schedule of the copy */
async function readOpen(client: Client, payloads: Payloads, beganAt: number): Promise<OpenWorkflows> {
  const counts = Object.fromEntries(waysToGoOn.map((way) => [way, 0])) as Record<WayToGoOn, number>;
  const asked: MovedWorkflows = [];
  const unknown = new Set<string>();
  for await (const info of client.workflow.list({ query: `ExecutionStatus = 'Running'` })) {
    if (info.startTime.getTime() >= beganAt) continue;
    const { workflowId, runId, type } = info;
    const scheduled = info.searchAttributes['TemporalScheduledById'] !== undefined;
    const way = wayToGoOn({ type, scheduled, hasParent: info.parentExecution !== undefined });
    if (way === undefined) {
      unknown.add(type);
      continue;
    }
    counts[way] += 1;
    if (way === 'asked') asked.push({ workflowId, type, args: await givenTo(client, payloads, workflowId, runId) });
  }
  if (unknown.size > 0)
    throw new DomainError(
      'CONFLICT',
      `workflows are under way that this version does not know: ${[...unknown].toSorted().join(', ')}. Start the fleet with the version that began them, wait until they have ended (Temporal UI), stop it, and move it then`,
    );
  const paused: string[] = [];
  for await (const { scheduleId, state } of client.schedule.list()) if (state.paused) paused.push(scheduleId);
  return { counts, asked: asked.toSorted((a, b) => (a.workflowId < b.workflowId ? -1 : 1)), paused: paused.toSorted() };
}

/** The input of this execution: one that was continued has its last. */
async function givenTo(client: Client, { codec }: Payloads, workflowId: string, runId: string): Promise<unknown[]> {
  const { namespace } = client.options;
  const { history } = await client.workflowService.getWorkflowExecutionHistory({
    namespace,
    execution: { workflowId, runId },
    maximumPageSize: 1,
  });
  const started = history?.events?.[0]?.workflowExecutionStartedEventAttributes;
  if (!started) throw new DomainError('UNAVAILABLE', `Temporal does not say how ${workflowId} was begun`);
  const payloads = await codec.decode(started.input?.payloads ?? []);
  return payloads.map((payload) => defaultPayloadConverter.fromPayload(payload));
}
