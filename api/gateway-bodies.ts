import { PassThrough, type Readable } from 'node:stream';
import { DomainError } from '../domain/errors.ts';

/** How long a body may take to come in. */
export interface BodyPatience {
  /** Milliseconds without a byte of it. */
  silentMs: number;
  /** Milliseconds for all of it. */
  wholeMs: number;
}

/**
 * A body as it comes in: counted, and given up where it comes too slowly, since room is held for all of it meanwhile.
 * @param onWhole told once how many bytes it has
 */
export function patientBody(
  payload: Readable,
  { silentMs, wholeMs }: BodyPatience,
  { onWhole, onSlow }: { onWhole: (bytes: number) => void; onSlow: () => void },
): { body: Readable; stop: () => void } {
  const body = new PassThrough();
  let bytes = 0;
  const give = (said: string) => {
    payload.unpipe(body);
    onSlow();
    body.destroy(new DomainError('BODY_TOO_SLOW', `${said}; ${bytes} bytes of it have come`));
  };
  const silent = setTimeout(() => give(`nothing of the body has come for ${silentMs / 1000} s`), silentMs);
  const whole = setTimeout(() => give(`the body was not whole after ${wholeMs / 1000} s`), wholeMs);
  const stop = () => {
    clearTimeout(silent);
    clearTimeout(whole);
  };
  payload.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    silent.refresh();
  });
  payload.once('end', () => {
    stop();
    onWhole(bytes);
  });
  payload.once('error', (err) => body.destroy(err));
  // Whoever reads it hears of it too; here it would end the process before anybody does.
  body.on('error', () => undefined);
  body.once('close', stop);
  payload.pipe(body);
  return { body, stop };
}
