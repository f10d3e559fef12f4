import type { Command } from 'commander';
import { webhookEventTypes } from '../../domain/webhooks.ts';
import { badInput } from '../failures.ts';
import { ago, confirm, good, line, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Webhook {
  id: string;
  url: string;
  types: string[];
  state: string;
  reason: string;
  secrets: string[];
}
interface Delivery {
  id: string;
  eventId: string;
  type: string;
  state: string;
  attempts: number;
  status: number | null;
  reason: string;
  createdAt: string;
}
interface NewSecret {
  secretId: string;
  secret: string;
}

const pathOf = (id: string) => `/webhooks/${encodeURIComponent(id)}`;

export function webhookCommands(program: Command): void {
  const webhooks = program.command('webhooks').description('signed events for programs of yours');

  webhooks
    .command('add')
    .argument('<url>', 'where events are sent to, https')
    .option('--type <types...>', `${webhookEventTypes.join(', ')}; default: all`)
    .description('add an endpoint; its secret is shown this one time')
    .action(async (url: string, { type }: { type?: string[] }, command: Command) => {
      const { client, json } = sessionOf(command);
      const made = await client.post<Webhook & NewSecret>('/webhooks', { url, types: type });
      if (json) return printJson(made);
      line(`${good('✔')} ${made.id} is told of ${made.types.join(', ')}`);
      line(made.secret);
    });

  webhooks
    .command('list')
    .description('your endpoints')
    .action(async (_options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const page = await client.list<Webhook>('/webhooks');
      if (json) return printJson(page);
      line(
        table(page.items, [
          ['WEBHOOK', (webhook) => webhook.id],
          ['STATE', (webhook) => styledState(webhook.state)],
          ['TYPES', (webhook) => webhook.types.join(',')],
          ['SECRETS', (webhook) => webhook.secrets.length],
          ['URL', (webhook) => webhook.url],
          ['REASON', (webhook) => webhook.reason],
        ]),
      );
    });

  webhooks
    .command('remove')
    .argument('<webhook>', 'id of the endpoint')
    .description('no event is sent there any more')
    .action(async (id: string, _options: object, command: Command) => {
      const session = sessionOf(command);
      if (!(await confirm(`Remove ${id}?`, session))) return;
      await session.client.delete(pathOf(id));
      if (session.json) printJson({ id, removed: true });
      else line(`${good('✔')} removed ${id}`);
    });

  webhooks
    .command('enable')
    .argument('<webhook>', 'id of the endpoint')
    .description('take up an endpoint again that answered 410')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const webhook = await client.post<Webhook>(`${pathOf(id)}/enable`);
      if (json) return printJson(webhook);
      line(`${good('✔')} ${id} is ${webhook.state}`);
    });

  webhooks
    .command('rotate')
    .argument('<webhook>', 'id of the endpoint')
    .description('make another secret; events are signed with both until `drop-secret` takes the old one')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const made = await client.post<NewSecret>(`${pathOf(id)}/secrets`);
      if (json) return printJson(made);
      line(made.secret);
    });

  webhooks
    .command('drop-secret')
    .argument('<webhook>', 'id of the endpoint')
    .argument('[secret]', 'id of the secret; default: the older one')
    .description('nothing is signed with it any more')
    .action(async (id: string, given: string | undefined, _options: object, command: Command) => {
      const session = sessionOf(command);
      const page = await session.client.list<Webhook>('/webhooks');
      const secretId = given ?? page.items.find((webhook) => webhook.id === id)?.secrets[0];
      if (secretId === undefined) throw badInput(`there is no webhook ${id}`, 'See `soulfra webhooks list`.');
      if (!(await confirm(`Drop ${secretId}?`, session))) return;
      await session.client.delete(`${pathOf(id)}/secrets/${encodeURIComponent(secretId)}`);
      if (session.json) printJson({ id, secretId, dropped: true });
      else line(`${good('✔')} dropped ${secretId}`);
    });

  limitOption(
    webhooks
      .command('deliveries')
      .argument('<webhook>', 'id of the endpoint')
      .description('events for an endpoint, the last first'),
  ).action(async (id: string, { limit }: { limit: number }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Delivery>(`${pathOf(id)}/deliveries`, {}, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['DELIVERY', (delivery) => delivery.id],
        ['EVENT', (delivery) => delivery.eventId],
        ['TYPE', (delivery) => delivery.type],
        ['STATE', (delivery) => styledState(delivery.state)],
        ['TRIES', (delivery) => delivery.attempts],
        ['STATUS', (delivery) => delivery.status],
        ['MADE', (delivery) => ago(delivery.createdAt)],
        ['REASON', (delivery) => delivery.reason],
      ]),
    );
  });

  webhooks
    .command('redeliver')
    .argument('<webhook>', 'id of the endpoint')
    .argument('<delivery>', 'id of the delivery')
    .description('deliver an event again, under the same webhook-id')
    .action(async (id: string, delivery: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const again = await client.post(`${pathOf(id)}/deliveries/${encodeURIComponent(delivery)}/redeliver`);
      if (json) return printJson(again);
      line(`${good('✔')} ${delivery} is delivered again`);
    });
}
