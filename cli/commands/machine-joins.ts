import type { Command } from 'commander';
import { confirm, dim, good, line, printJson, table } from '../output.ts';
import { sessionOf } from '../program.ts';

interface Invited {
  id: string;
  machineId: string;
  line: string;
  listens: string;
  expiresAt: string;
}
interface Invite {
  id: string;
  machineId: string;
  state: string;
  createdAt: string;
  expiresAt: string;
  usedAt: string | null;
}
interface Certificate {
  serial: string;
  kind: string;
  machineId: string | null;
  generation: number;
  state: string;
  issuedAt: string;
  notAfter: string;
}

const minute = (iso: string) => `${iso.slice(0, 16).replace('T', ' ')} UTC`;

/** Under `soulfra machine`: boxes that join from elsewhere. */
export function machineJoinCommands(machine: Command): void {
  machine
    .command('invite')
    .argument('<id>', 'a machine of fleet.yaml')
    .option('--listen <address>', 'address of this box that the other one reaches, with :PORT where another is wanted')
    .option('--host <name>', 'what the other box dials, where that is another name')
    .option('--dry-run', 'say what would be done; do nothing')
    .description('print the line by which another box joins as this machine: once, within 15 minutes')
    .action(async (id: string, options: { listen?: string; host?: string; dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const { dryRun = false, ...asked } = options;
      const body = { machineId: id, ...asked };
      if (dryRun) {
        const would = await client.post<{ would: string }>('/machine-invites', body, { dryRun: true });
        return json ? printJson(would) : line(`Would ${would.would}.`);
      }
      const invited = await client.post<Invited>('/machine-invites', body);
      if (json) return printJson(invited);
      line(`On the other box, in a checkout of this version after \`npm ci\`:`);
      line('');
      line(`  npm run join -- '${invited.line}'`);
      line('');
      line(
        dim(
          `Works once, until ${minute(invited.expiresAt)}. The fleet listens on ${invited.listens}, for certificates of its own alone.`,
        ),
      );
      line(dim(`Lost or leaked: soulfra machine revoke ${id}`));
    });

  machine
    .command('invites')
    .description('invitations of machines, and certificates that machines go by')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const invites = await client.list<Invite>('/machine-invites', {}, 200);
      const certificates = await client.list<Certificate>('/certificates', {}, 200);
      if (json) return printJson({ invites: invites.items, certificates: certificates.items });
      line(
        table(invites.items, [
          ['INVITATION', ({ id }) => id],
          ['MACHINE', ({ machineId }) => machineId],
          ['STATE', ({ state }) => state],
          ['UNTIL', ({ expiresAt }) => minute(expiresAt)],
          ['USED', ({ usedAt }) => usedAt && minute(usedAt)],
        ]),
      );
      line('');
      line(
        table(certificates.items, [
          ['CERTIFICATE OF', ({ machineId, kind }) => machineId ?? kind],
          ['SERIAL', ({ serial }) => serial],
          ['AUTHORITY', ({ generation }) => generation],
          ['STATE', ({ state }) => state],
          ['UNTIL', ({ notAfter }) => minute(notAfter)],
        ]),
      );
    });

  machine
    .command('revoke')
    .argument('<id>', 'machine whose box is to be let in no more')
    .option('--dry-run', 'say what would be done; do nothing')
    .description('end invitations, certificates, connections and lease of a machine on another box')
    .action(async (id: string, { dryRun = false }: { dryRun?: boolean }, command: Command) => {
      const session = sessionOf(command);
      const { client, json } = session;
      const path = `/machines/${encodeURIComponent(id)}/revoke`;
      const would = await client.post<{ would: string }>(path, {}, { dryRun: true });
      if (dryRun) return json ? printJson(would) : line(`Would ${would.would}.`);
      if (!(await confirm(`Cut ${id} off?`, session))) return;
      const ended = await client.post<{ invites: number; certificates: number }>(path, {});
      if (json) return printJson(ended);
      line(
        `${good('✔')} ${id}: ${ended.invites} invitations and ${ended.certificates} certificates ended; its connections are cut`,
      );
    });
}
