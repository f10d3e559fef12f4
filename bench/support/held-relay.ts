import { connect, createServer, type Socket } from 'node:net';

export interface HeldRelay {
  port: number;
  /** From now on what is sent to the server stays on its way. */
  hold(): void;
  /** Whether something that stays on its way has this text in it. */
  holds(text: string): boolean;
  /** All that stayed on its way arrives, in order. */
  letThrough(): void;
  close(): void;
}

/** The network before a server of this host, where messages may come late: even from a process that is frozen by then. */
export async function startHeldRelay(to: { host: string; port: number }): Promise<HeldRelay> {
  const sockets = new Set<Socket>();
  let waiting: Array<{ upstream: Socket; piece: Buffer }> | undefined;
  const server = createServer({ noDelay: true }, (client) => {
    const upstream = connect({ ...to, noDelay: true });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
      // Whoever reads it hears of it by `close`.
      socket.on('error', () => undefined);
    }
    client.on('data', (piece) => {
      if (waiting) waiting.push({ upstream, piece });
      else upstream.write(piece);
    });
    upstream.pipe(client);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay has no port');
  return {
    port: address.port,
    hold() {
      waiting ??= [];
    },
    holds: (text) => waiting?.some(({ piece }) => piece.includes(text)) === true,
    letThrough() {
      for (const { upstream, piece } of waiting ?? []) upstream.write(piece);
      waiting = undefined;
    },
    close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}
