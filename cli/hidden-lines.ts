import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';

/**
 * Asks for secrets that are not shown as they are typed. Where nobody types, each is a line of stdin, so that none stands on a command
 * line, which other users of the host can read.
 */
export async function hiddenLines(questions: readonly string[]): Promise<string[]> {
  const typed = process.stdin.isTTY;
  const silent = new Writable({ write: (_piece, _encoding, done) => done() });
  const reader = createInterface({ input: process.stdin, output: silent, terminal: typed });
  reader.on('SIGINT', () => {
    process.stderr.write('\n');
    // As a shell would see it: nothing was asked for in vain, and nothing was changed.
    process.exit(130);
  });
  try {
    if (!typed) {
      const lines: string[] = [];
      for await (const line of reader) if (lines.push(line) === questions.length) break;
      return questions.map((_, i) => lines[i] ?? '');
    }
    const answers: string[] = [];
    for (const question of questions) {
      process.stderr.write(`${question}: `);
      answers.push(await reader.question(''));
      process.stderr.write('\n');
    }
    return answers;
  } finally {
    reader.close();
  }
}
