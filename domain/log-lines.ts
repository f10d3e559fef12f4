import { z } from 'zod';

/** One line of a log as every part writes it. Whatever else it says stands beside these. */
export const logLineSchema = z.looseObject({
  /** ISO 8601. */
  time: z.string(),
  level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']),
  msg: z.string().default(''),
  /** Who speaks: api, worker, activity, workflow, or core (Temporal's). */
  part: z.string(),
  machineId: z.string().optional(),
  workflowId: z.string().optional(),
  runId: z.string().optional(),
  agentId: z.string().optional(),
});
export type LogLine = z.infer<typeof logLineSchema>;

/** The lines that are asked for; what is absent is not asked. */
export interface LogFilter {
  machineId?: string | undefined;
  agentId?: string | undefined;
  runId?: string | undefined;
  /** Of the run: what its workflow and activities say names it in place of the run. */
  workflowId?: string | undefined;
  /** Milliseconds since 1970. */
  since?: number | undefined;
}

export function isAskedFor(line: LogLine, { machineId, agentId, runId, workflowId, since }: LogFilter): boolean {
  if (since !== undefined && Date.parse(line.time) < since) return false;
  if (machineId !== undefined && line.machineId !== machineId) return false;
  if (runId !== undefined && line.runId !== runId && (workflowId === undefined || line.workflowId !== workflowId))
    return false;
  return agentId === undefined || line.agentId === agentId || agentOfWorkflow(line.workflowId) === agentId;
}

/** Workflow ids of one agent's work name it: `reflect:<agentId>:<period>`. */
function agentOfWorkflow(workflowId: string | undefined): string | undefined {
  return workflowId === undefined ? undefined : /^reflect:([^:]+):/.exec(workflowId)?.[1];
}

/** A line as it was written; undefined where it is none, such as a line that was cut by a full disk. */
export function parseLogLine(text: string): LogLine | undefined {
  try {
    return logLineSchema.safeParse(JSON.parse(text)).data;
  } catch {
    // Not JSON: no line of ours.
    return undefined;
  }
}

/** The Redis stream that carries lines of all machines to whoever asks the API; the newest so many are kept. */
export const logStreamKey = 'soulfra:logs';
export const logStreamEntries = 20_000;
/** A longer line is sent without what makes it long; its file has it whole. */
export const longestShippedLine = 4_096;
