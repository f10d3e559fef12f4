import type { Client } from './client.ts';
import { badInput } from './failures.ts';

export interface Channel {
  id: string;
  kind: string;
  name: string;
  stage: string;
  stoppedAt: string | null;
  stopReason: string;
  repliesStopReason: string;
  notBefore: string | null;
  createdAt: string;
  secrets?: Record<string, string>;
  would?: string;
}

/** Ids of channels that were given by id or by name, of which no two of an owner are the same. */
export async function channelIdsOf(client: Client, given: readonly string[]): Promise<string[]> {
  if (given.every(isId)) return [...given];
  const { items } = await client.list<Channel>('/channels', {}, 100);
  return given.map((one) => {
    const id = isId(one) ? one : items.find(({ name }) => name === one)?.id;
    if (id === undefined) throw badInput(`no channel is called ${one}`, 'See `soulfra channels list`.');
    return id;
  });
}

function isId(text: string): boolean {
  return text.startsWith('chn_');
}
