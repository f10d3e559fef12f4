import { sql } from 'kysely';
import { listingSlug } from '../../domain/listing-slugs.ts';
import { createBallotStore } from '../../stores/ballots.ts';
import { createGlobeStore } from '../../stores/globe.ts';
import { newId } from '../../stores/ids.ts';
import { openNotice } from '../../stores/notices.ts';
import type { Shop } from './market.ts';
import { hostileText } from './markup.ts';

/** Persona, memory, drop, guild, ballot, listing, channel and notices, all written by somebody who means harm; and where they are shown. */
export async function seedHostile(shop: Shop): Promise<string[]> {
  const { api, db } = shop;
  const post = async (url: string, body: unknown, token = api.tokens.operator) => {
    const { status, json, text } = await api.call('POST', url, {
      body,
      token,
      headers: { 'idempotency-key': newId('request') },
    });
    if (status >= 300) throw new Error(`${url}: ${text}`);
    return json['id'] as string;
  };
  await sql`update agents set name = ${hostileText(60)}, persona = ${hostileText(900)} where id = 'rook-001'`.execute(
    db,
  );
  const memory = await post('/v1/agents/rook-001/memories', { text: hostileText(900) });
  const insight = JSON.stringify({
    type: 'reflection',
    agentId: 'rook-001',
    text: hostileText(300),
    evidence: ['hostile-fact'],
    externalKey: 'hostile-insight',
    occurredAt: '2026-11-20T09:00:00Z',
  });
  const fact = JSON.stringify({
    agentId: 'rook-001',
    text: hostileText(200),
    importance: 5,
    externalKey: 'hostile-fact',
    occurredAt: '2026-11-20T08:00:00Z',
  });
  const told = await api.call('POST', '/v1/memories', {
    raw: `${fact}\n${insight}`,
    headers: { 'content-type': 'application/x-ndjson' },
  });
  if (told.status >= 300) throw new Error(told.text);
  await createGlobeStore(db).store(api.ownerId, {
    period: 'hostile',
    model: 'none',
    digest: Buffer.alloc(32),
    agents: [{ id: 'rook-001', x: 1, y: 0, z: 0 }],
    memories: [{ id: memory, x: 0, y: 1, z: 0 }],
  });
  // Its name is a slug; what it says of itself is anything.
  await sql`insert into services (id, owner_id, spec, state, reason)
    values ('hostile', ${api.ownerId}, ${{ id: 'hostile', kind: 'process', source: 'hostile.yaml' }}, 'down', ${hostileText(300)})`.execute(
    db,
  );
  const listing = await shop.list({ title: hostileText(120), summary: hostileText(1_900) });
  await shop.grant(api.ownerId, 5_000);
  const bought = await shop.buy(listing, { by: { ownerId: api.ownerId, token: api.tokens.operator } });
  const guild = await post('/v1/guilds', { name: hostileText(60), purpose: hostileText(280), seats: 9 });
  const ballot = await post('/v1/ballots', {
    title: hostileText(120),
    text: hostileText(900),
    guildId: guild,
    method: 'ranked',
    options: [hostileText(60), 'Two', 'Three'],
  });
  await sql`update ballots set opens_at = clock_timestamp() where id = ${ballot}`.execute(db);
  await createBallotStore(db).openVote(ballot);
  const channel = await post('/v1/channels', {
    kind: 'feed',
    name: hostileText(70),
    settings: { title: hostileText(180), siteUrl: 'https://my.blog/' },
  });
  const drop = await post('/v1/drops', {
    agentId: 'rook-001',
    title: hostileText(180),
    body: hostileText(900),
    narration: hostileText(300),
    channels: [channel],
  });
  const waiting = await post('/v1/drops', { title: 'Waits', body: hostileText(300), channels: [channel] });
  await sql`update drops set state = 'awaiting_approval', publish_at = now() where id = ${waiting}`.execute(db);
  await sql`insert into deliveries (id, owner_id, drop_id, channel_id, state, text, reason, due_at, ended_at)
    values (${newId('delivery')}, ${api.ownerId}, ${drop}, ${channel}, 'unconfirmed', ${hostileText(900)}, ${hostileText(200)}, now(), now())`.execute(
    db,
  );
  for (const [kind, subject] of [
    ['drop_waiting', waiting],
    ['machine_lost', 'big'],
    ['parked_work', 'llama8b_q4'],
    ['readiness_critical', 'run'],
  ] as const)
    await openNotice(db, {
      id: newId('notice'),
      ownerId: api.ownerId,
      kind,
      key: `${kind}:${subject}`,
      subject,
      title: hostileText(100),
      detail: hostileText(900),
    });
  return [
    '/',
    '/fleet',
    '/fleet/file',
    '/globe',
    '/masks',
    '/agents/rook-001',
    '/agents/rook-001?tab=memories',
    '/agents/rook-001?tab=talk',
    '/agents/rook-001?tab=reflections',
    '/agents/rook-001?tab=lineage',
    '/agents/rook-001?tab=work',
    '/drops',
    '/drops/new',
    `/drops/${drop}`,
    '/market',
    `/market/${listing}`,
    '/market/licenses',
    `/market/licenses/${bought.json['licenseId'] as string}`,
    '/market/desk',
    '/guilds',
    `/guilds/${guild}`,
    `/ballots/${ballot}`,
    '/operations',
    '/operations/readiness',
    '/operations/schedules',
    '/operations/people',
    '/operations/audit',
    '/operations/audit?outcome=refused&since=2026-01-01',
    '/store',
    `/l/${listingSlug({ id: listing, title: hostileText(120) })}`,
    '/join',
    `/narration/${channel}`,
  ];
}
