/** One metric of ours: what is exported, by which kind of process, and what bounds each of its labels. */
export interface MetricDefinition {
  /** `soulfra_<noun>_<base unit>`, counters with `_total`. */
  name: `soulfra_${string}`;
  type: 'counter' | 'gauge' | 'histogram';
  help: string;
  /** Base unit; `count` where it counts things, `ratio` from 0 to 1. */
  unit:
    | 'seconds'
    | 'bytes'
    | 'joules'
    | 'watts'
    | 'celsius'
    | 'ratio'
    | 'count'
    | 'boolean'
    | 'minor_units'
    | 'timestamp';
  /** Name of each label with its values, or in words with what bounds them. Never an id, a text or a name that people choose freely. */
  labels?: Readonly<Record<string, readonly string[] | string>>;
  /** Of a histogram: upper bounds, in `unit`. */
  buckets?: readonly number[];
  /** Series that are there from the start: a rate over what has not happened yet is then 0, and not missing. */
  startsAtZero?: true;
  /** Of a gauge without labels: no series until it is set, since 0 would say something. */
  absentUntilSet?: true;
}
export type MetricDefinitions = Readonly<Record<string, MetricDefinition>>;

/** Labels that every series of a part carries besides its own. */
export const partLabels = {
  api: { part: ['api'] },
  worker: { part: ['worker'], machine: 'machines of fleet.yaml' },
} as const;

/** What more than one definition says of its labels. */
export const bounds = {
  machine: 'machines of fleet.yaml',
  model: 'models of fleet.yaml, as `<model>_<quantisation>`',
  service: 'services of fleet.d that have a token, or people',
  gatewayModel: 'models of fleet.yaml, what memories are embedded with, or unknown',
  queue: 'task queues of the fleet: coordination, inference_…, channel_…',
  workService: 'services of fleet.d/ that take work',
} as const;

/** From a call of a small model to a run of many calls of a large one. */
export const workSeconds = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600] as const;

/** Of every process that logs. */
export const logDefinitions = {
  logLinesLost: {
    name: 'soulfra_log_lines_lost_total',
    type: 'counter',
    help: 'Lines of the log that found no room in the log files, or on standard output.',
    unit: 'count',
    startsAtZero: true,
  },
} as const satisfies MetricDefinitions;
