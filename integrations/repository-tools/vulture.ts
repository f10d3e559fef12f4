import type { RepositoryTool } from './repository-tool.ts';

/** Below it names what frameworks call by name. */
const leastConfidence = 80;
const line = /^(?<file>.+):(?<line>\d+): (?<message>.+) \((?<percent>\d+)% confidence\)$/;

export const vulture: RepositoryTool = {
  name: 'vulture',
  install: 'Install vulture: `pipx install vulture`.',
  takes: /\.py$/,
  // It sees what is used only where it is given all files at once.
  args: ({ folder }) => ['--min-confidence', String(leastConfidence), folder],
  // 1: a file is no Python of its version, which ruff tells by its place; 3: it found something.
  codes: [0, 1, 3],
  // A line of its own: in a message about a file's text it is that text.
  broke: /^Traceback \(most recent call last\):$/m,
  parse: (stdout) =>
    stdout.split('\n').flatMap((text) => {
      const found = line.exec(text.trim())?.groups;
      if (found === undefined) return [];
      const { file = '', message = '' } = found;
      return [{ code: 'unused', file, line: Number(found['line']), message: message.slice(0, 300) }];
    }),
};
