import type { ConnectionOptions } from 'node:tls';
import pg from 'pg';
import { lockNumbers } from './locks.ts';

export interface Listener {
  close(): Promise<void>;
}
/** @param caller a number that others see as long as this connection stands (`gatewayRequests.livingCallers`) */
export type ListenerFactory = (channel: string, onNotify: () => void, caller?: number) => Listener;

const reconnectMs = 1_000;
/**
 * Postgres itself asks whether this side lives, and gives the connection up within half a minute: of a host that is gone without a word
 * it would hear nothing for hours, or for a quarter of an hour where a notification is on its way.
 */
const noticesDeath = [
  ['tcp_keepalives_idle', 10],
  ['tcp_keepalives_interval', 5],
  ['tcp_keepalives_count', 3],
  ['tcp_user_timeout', 25_000],
]
  .map(([name, value]) => `-c ${name}=${value}`)
  .join(' ');

/**
 * LISTEN on connections of their own, opened again when they break. A notification sent in between is lost: whoever
 * listens also looks by itself from time to time, and `onNotify` is called after each (re)connection.
 */
export function createListenerFactory(
  url: string,
  onError: (err: Error) => void,
  tls?: ConnectionOptions,
): ListenerFactory {
  return (channel, onNotify, caller) => {
    let closed = false;
    let client: pg.Client | undefined;
    let timer: NodeJS.Timeout | undefined;

    async function connect(): Promise<void> {
      const next = new pg.Client({
        connectionString: url,
        ...(tls && { ssl: tls }),
        application_name: `soulfra listen ${channel}`,
        keepAlive: true,
        options: noticesDeath,
        connectionTimeoutMillis: 5_000,
      });
      client = next;
      next.on('notification', onNotify);
      next.on('error', (err) => again(next, err));
      next.on('end', () => again(next, undefined));
      try {
        await next.connect();
        // Shared: a connection that broke may hold it for a while yet.
        if (caller !== undefined)
          await next.query('select pg_advisory_lock_shared($1, $2)', [lockNumbers.gatewayCaller, caller]);
        await next.query(`listen ${pg.escapeIdentifier(channel)}`);
        onNotify();
      } catch (err) {
        again(next, err instanceof Error ? err : new Error(String(err)));
      }
    }

    function again(broken: pg.Client, err: Error | undefined): void {
      if (closed || broken !== client) return;
      client = undefined;
      if (err) onError(err);
      broken.end().catch(onError);
      timer = setTimeout(() => void connect(), reconnectMs);
    }

    void connect();
    return {
      async close() {
        closed = true;
        clearTimeout(timer);
        const open = client;
        client = undefined;
        await open?.end();
      },
    };
  };
}
