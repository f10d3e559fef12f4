import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A way to a server that can be held: what is sent from then on arrives nowhere, and no connection is broken. */
export async function openTcpHop(to: string): Promise<{ address: string; hold(): void; close(): Promise<void> }> {
  const at = to.lastIndexOf(':');
  const sockets = new Set<Socket>();
  let held = false;
  const server = createServer((near) => {
    const far = connect(Number(to.slice(at + 1)), to.slice(0, at));
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    }
    near.on('error', () => far.destroy());
    far.on('error', () => near.destroy());
    near.on('data', (bytes) => void (held || far.write(bytes)));
    far.on('data', (bytes) => void near.write(bytes));
    near.on('close', () => far.destroy());
    far.on('close', () => near.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    hold() {
      held = true;
    },
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
