import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

/** A program of its own, as an owner runs it: it serves what lies in a folder at the moment it is asked. */
const { values } = parseArgs({ options: { folder: { type: 'string' }, port: { type: 'string' } } });
const { folder = '.', port = '0' } = values;

createServer((request, response) => {
  const name = request.url?.slice(1) ?? '';
  if (!/^[a-z0-9]*$/.test(name)) return void response.writeHead(404).end();
  response.end(name === '' ? 'up' : readFileSync(join(folder, name)));
}).listen(Number(port), '127.0.0.1');
