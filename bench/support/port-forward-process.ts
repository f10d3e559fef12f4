import { connect, createServer } from 'node:net';

/** `node port-forward-process.ts ADDRESS PORT TO`: what stands in for the proxy of another network: its port leads to one of 127.0.0.1. */

const [address, port, to] = process.argv.slice(2);
createServer((from) => {
  const inner = connect(Number(to), '127.0.0.1');
  for (const socket of [from, inner]) socket.on('error', () => [from, inner].forEach((each) => each.destroy()));
  from.pipe(inner).pipe(from);
}).listen(Number(port), address, () => process.stdout.write('listens\n'));
