import { parentPort } from 'node:worker_threads';
import { isDomainError } from '../domain/errors.ts';
import { readMembers } from '../domain/loop-packages.ts';
import type { LoopRow } from '../stores/queries/loop-memories.ts';
import { hostCrypto } from '../config/host-crypto.ts';
import { chooseLoop } from './loop-choosing.ts';
import type { LoopThreadAnswer, LoopThreadMessage } from './loop-threads.ts';

const port = parentPort;
if (port === null) throw new Error('loop-thread.ts runs as a worker thread');
const answer = (message: LoopThreadAnswer) => port.postMessage(message);
let rows: LoopRow[] = [];
/** Lines told at once: what receiving them takes of the other thread. */
const page = 500;

port.on('message', (message: LoopThreadMessage) => {
  try {
    if (message.kind === 'rows') {
      // What came of somebody whose reading broke off is not another's.
      if (message.isFirst) rows = [];
      rows.push(...message.rows);
    } else if (message.kind === 'choose') {
      const all = rows;
      rows = [];
      answer({ kind: 'chosen', chosen: chooseLoop(all, message.input) });
    } else {
      const { persona, prompts, lines } = readMembers(message.manifest, message.members, hostCrypto.sha256);
      for (let from = 0; from < lines.length; from += page)
        answer({ kind: 'lines', lines: lines.slice(from, from + page) });
      answer({ kind: 'read', persona, prompts });
    }
  } catch (err) {
    // Anything else ends the thread, which the other side hears of.
    if (!isDomainError(err)) throw err;
    answer({ kind: 'refused', code: err.code, message: err.message, fields: err.fields });
  }
});
