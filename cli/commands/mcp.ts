import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { sessionOf } from '../program.ts';

export function mcpCommand(program: Command): void {
  program
    .command('mcp')
    .description('serve agents to programs that speak the Model Context Protocol, on stdin and stdout')
    .action(async (_options: object, command: Command) => {
      const { client } = sessionOf(command);
      // Loaded here: no other command should wait for it.
      const { serveStdio } = await import('@modelcontextprotocol/server/stdio');
      const { createMcpServer } = await import('../mcp-tools.ts');
      const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
        version: string;
      };
      // Nothing but the protocol may be written to stdout.
      const serving = serveStdio(() => createMcpServer(client, version), {
        onerror: (err) => process.stderr.write(`${err.message}\n`),
      });
      await once(process.stdin, 'close');
      await serving.close();
    });
}
