import { parseArgs } from 'node:util';

export interface StartOptions {
  /** One cycle over every agent, then stop. */
  once: boolean;
  /** The last line of stdout is one JSON object; all else goes to stderr. */
  json: boolean;
  /** A fleet without agents. */
  empty: boolean;
  /** Throws the data away first. */
  reset: boolean;
  fleet: string;
  /** Only these machines get a worker here; default: all of the fleet. */
  machines: string[] | undefined;
  /** Prometheus with our rules beside the stack, where it is installed. */
  withMetrics: boolean;
  /** Address, or ADDRESS:PORT, where machines of other boxes come in; default: as the last start had it. */
  listen: string | undefined;
}

export const usage = `npm start -- [options]
  --once            one cycle over every agent, then stop
  --json            with --once: the last line of stdout is one JSON object
  --empty           first start: a fleet without agents
  --reset           throw away .soulfra and start over
  --fleet FILE      first start: the fleet's file (default fleet.yaml)
  --machines A,B    start workers for these machines only
  --listen ADDRESS  let machines of other boxes in there (mutual TLS; soulfra machine invite); kept
  --with-metrics    Prometheus with our rules, where it is installed`;

/** @throws TypeError with the option's name when one is unknown. */
export function parseOptions(args: string[]): StartOptions | 'help' {
  const { values } = parseArgs({
    args,
    options: {
      once: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      empty: { type: 'boolean', default: false },
      reset: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      fleet: { type: 'string', default: 'fleet.yaml' },
      machines: { type: 'string' },
      listen: { type: 'string' },
      'with-metrics': { type: 'boolean', default: false },
    },
  });
  if (values.help) return 'help';
  const { help: _, machines, listen, 'with-metrics': withMetrics, ...rest } = values;
  return { ...rest, listen, withMetrics, machines: machines?.split(',').filter((id) => id !== '') };
}
