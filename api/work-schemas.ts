import { z } from 'zod';
import { isDeeperThan, mostJsonDepth } from '../domain/any-json.ts';
import { jsonBytes, mostWorkBytes } from '../domain/work.ts';

/** Of a request that carries an input or a result, with what stands around it. */
export const workBodyLimit = mostWorkBytes + 8 * 1024;

/** Any JSON, up to as much as work may carry. */
export const workJsonSchema = z
  .unknown()
  .refine((value) => value !== undefined, {
    error: 'is required',
    params: { mend: 'Send any JSON; null where there is nothing to say.' },
  })
  .refine((value) => !isDeeperThan(value, mostJsonDepth), {
    error: `must not be nested deeper than ${mostJsonDepth}`,
    params: { mend: 'Send the id or the URL of the document.' },
    // Nothing that looks at it further is to go as deep.
    abort: true,
  })
  .refine((value) => value === undefined || jsonBytes(value) <= mostWorkBytes, {
    error: `must be at most ${mostWorkBytes} bytes as JSON`,
    params: { mend: 'Send the id or the URL of the document.' },
  });
