import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

export interface TcpHop {
  address: string;
  /** From now on what is sent stays on its way, and no connection is broken. */
  hold(): void;
  /** Whether something that stays on its way has this text in it. */
  holds(text: string): boolean;
  /** All that stayed on its way arrives, in order: also from a process that is frozen by then. */
  letThrough(): void;
  close(): Promise<void>;
}

/** The network before a server, which may take its time. */
export async function openTcpHop(to: string): Promise<TcpHop> {
  const at = to.lastIndexOf(':');
  const sockets = new Set<Socket>();
  let held: Array<{ far: Socket; bytes: Buffer }> | undefined;
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ port: Number(to.slice(at + 1)), host: to.slice(0, at), noDelay: true });
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.on('data', (bytes) => void (held ? held.push({ far, bytes }) : far.write(bytes)));
    far.on('data', (bytes) => void near.write(bytes));
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold() {
      held ??= [];
    },
    holds: (text) => held?.some(({ bytes }) => bytes.includes(text)) === true,
    letThrough() {
      for (const { far, bytes } of held ?? []) far.write(bytes);
      held = undefined;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
