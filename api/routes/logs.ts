import { z } from 'zod';
import { DomainError } from '../../domain/errors.ts';
import { idSchema, slugSchema } from '../../domain/ids.ts';
import {
  isAskedFor,
  type LogFilter,
  type LogLine,
  logStreamEntries,
  logStreamKey,
  parseLogLine,
} from '../../domain/log-lines.ts';
import { findRun } from '../../stores/queries/runs.ts';
import type { ApiContext } from '../context.ts';
import { listRoute } from '../lists.ts';
import { timeSchema } from '../schemas.ts';
import type { Api } from '../types.ts';

const lineSchema = z
  .object({
    id: z.string(),
    time: timeSchema,
    level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']),
    part: z.string().describe('Who speaks: api, worker, activity, workflow, core'),
    source: z.string().describe('The process, as its log file is named: api, worker-pc2'),
    machineId: z.string().nullable(),
    msg: z.string(),
    fields: z.record(z.string(), z.unknown()).describe('Whatever else the line says'),
  })
  .meta({ id: 'LogLine' });
type Line = z.output<typeof lineSchema>;

const entryId = z.string().regex(/^\d{1,15}-\d{1,15}$/);
const readAtOnce = 1_000;

export function logRoutes(app: Api, { db, redis, principals, log }: ApiContext): void {
  listRoute(app, {
    url: '/v1/logs',
    role: 'operator',
    tag: 'logs',
    summary: `What the processes of all machines log, in the order in which it arrived; the last ${logStreamEntries} lines or so`,
    item: lineSchema,
    filters: {
      machine: slugSchema.optional(),
      agent: slugSchema.optional(),
      run: idSchema('run').optional(),
      since: timeSchema.optional(),
    },
    params: z.object({}),
    key: entryId,
    keyOf: (line) => line.id,
    rows: async ({ ownerId, limit, after }, { machine, agent, run, since }) => {
      if (ownerId !== (await principals.firstOperator()))
        throw new DomainError('FORBIDDEN', 'logs are for who runs the installation');
      const filter: LogFilter = {
        machineId: machine,
        agentId: agent,
        runId: run,
        workflowId: run === undefined ? undefined : (await findRun(db, ownerId, run))?.workflowId,
        since: since === undefined ? undefined : Date.parse(since),
      };
      return readLines(filter, limit, after);
    },
  });

  async function readLines(filter: LogFilter, limit: number, after: string | undefined): Promise<Line[]> {
    const found: Line[] = [];
    // A line is sent within a second of being written, so none that was written since stands before it.
    let from = after === undefined ? String(Math.max(0, filter.since ?? 0)) : `(${after}`;
    for (;;) {
      const entries = await readEntries(from);
      for (const [id, [, source = '', , text = '']] of entries) {
        const line = parseLogLine(text);
        if (line === undefined || !isAskedFor(line, filter)) continue;
        found.push(shown(id, source, line));
        if (found.length === limit) return found;
      }
      const last = entries.at(-1);
      if (last === undefined || entries.length < readAtOnce) return found;
      from = `(${last[0]}`;
    }
  }

  async function readEntries(from: string): Promise<Array<[string, string[]]>> {
    try {
      if (redis === undefined) throw new Error('no Redis is configured');
      return await redis.xrange(logStreamKey, from, '+', 'COUNT', readAtOnce);
    } catch (err) {
      log.warn({ err }, 'logs not read');
      throw new DomainError(
        'UNAVAILABLE',
        'Redis, which carries the logs of all machines, does not answer; each process’s log file has its own',
        { cause: err },
      );
    }
  }
}

function shown(id: string, source: string, { time, level, part, machineId, msg, ...fields }: LogLine): Line {
  return { id, time, level, part, source, machineId: machineId ?? null, msg, fields };
}
