import { cliEnvironment } from '../config/environment.ts';
import { type Client, createClient } from './client.ts';
import { badInput } from './failures.ts';

/** A client for who has no token yet. */
export function stranger(): Client {
  const { url } = cliEnvironment();
  if (url === undefined) throw badInput('SOULFRA_URL is not set', 'Set it to the address of the installation.');
  return createClient({ url: url.replace(/\/+$/, ''), token: undefined, origin: 'SOULFRA_URL' });
}
