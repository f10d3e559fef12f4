import { newId } from '../../stores/ids.ts';

const channels = '/v1/channels';
const hook = 'https://discord.com/api/webhooks/1/abc';
const bad = { url: channels, status: 400, code: 'INVALID_INPUT' };
const drop = `/v1/drops/${newId('drop')}`;
const delivery = `${drop}/deliveries/${newId('delivery')}`;
const words = { body: 'The lamp is lit.', channels: [newId('channel')] };

/** What the routes of channels, drops and deliveries refuse; rows of the table of test/integration/api-bad-input.test.ts. */
export const dropRefusals = [
  ...[
    { name: 'a channel of a kind that is none', body: { kind: 'carrier_pigeon', name: 'x' } },
    { name: 'a channel without a name', body: { kind: 'feed', settings: {} } },
    { name: 'a channel with a setting that is none', body: { kind: 'telegram', name: 'x', settings: { chat: '1' } } },
    { name: 'a feed without a page', body: { kind: 'feed', name: 'x', settings: { title: 'y' } } },
    {
      name: 'a feed of a page by javascript',
      body: { kind: 'feed', name: 'x', settings: { title: 'y', siteUrl: 'javascript:alert(1)' } },
    },
    {
      name: 'a channel without its secrets',
      body: { kind: 'mastodon', name: 'x', settings: { server: 'https://m.example' } },
    },
    {
      name: 'a secret with a line end',
      body: {
        kind: 'mastodon',
        name: 'x',
        settings: { server: 'https://m.example' },
        secrets: { accessToken: 'a\nb' },
      },
    },
    {
      name: 'a server by http',
      body: { kind: 'mastodon', name: 'x', settings: { server: 'http://m.example' }, secrets: { accessToken: 'a' } },
    },
    {
      name: 'a server with a path',
      body: {
        kind: 'mastodon',
        name: 'x',
        settings: { server: 'https://m.example/api' },
        secrets: { accessToken: 'a' },
      },
    },
    {
      name: 'a webhook with a password in its address',
      body: { kind: 'webhook', name: 'x', settings: { url: 'https://u:p@h.example/' } },
    },
    {
      name: 'a webhook of Discord that is none',
      body: { kind: 'discord_webhook', name: 'x', secrets: { url: 'https://discord.com/channels/1' } },
    },
    {
      name: 'a bot of Telegram without a token',
      body: { kind: 'telegram', name: 'x', settings: { chatId: '-1' }, secrets: { botToken: 'abc' } },
    },
    {
      name: 'a handle that is none',
      body: { kind: 'bluesky', name: 'x', settings: { handle: 'ada' }, secrets: { appPassword: 'abcdefgh' } },
    },
    {
      name: 'a channel that is free at once',
      body: { kind: 'discord_webhook', name: 'x', secrets: { url: hook }, stage: 'free' },
    },
    { name: 'a stage that is none', url: `${channels}/${newId('channel')}/stage`, body: { stage: 'loud' } },
    {
      name: 'a change of a channel that changes nothing',
      method: 'PATCH',
      url: `${channels}/${newId('channel')}`,
      body: {},
    },
    { name: 'a drop without words', url: '/v1/drops', body: { channels: words.channels } },
    { name: 'a drop for no channel', url: '/v1/drops', body: { ...words, channels: [] } },
    {
      name: 'a drop for a channel twice',
      url: '/v1/drops',
      body: { ...words, channels: [words.channels[0], words.channels[0]] },
    },
    { name: 'a drop with NUL in it', url: '/v1/drops', body: { ...words, body: 'a\0b' } },
    {
      name: 'a drop with words for a kind that is none',
      url: '/v1/drops',
      body: { ...words, bodies: { pigeon: 'coo' } },
    },
    { name: 'a drop that is far too long', url: '/v1/drops', body: { ...words, body: 'x'.repeat(10_001) } },
    {
      name: 'a drop with an Idempotency-Key of spaces',
      url: '/v1/drops',
      body: words,
      headers: { 'idempotency-key': ' ' },
    },
    { name: 'a drop at a time that is none', url: `${drop}/publish`, body: { at: 'soon' } },
    { name: 'a drop at a time that is past', url: `${drop}/publish`, body: { at: '2020-01-01T00:00:00Z' } },
    { name: 'a drop in a hundred years', url: `${drop}/publish`, body: { at: '2126-01-01T00:00:00Z' } },
    { name: 'a change that changes nothing', method: 'PATCH', url: drop, body: {}, headers: { 'if-match': '"1"' } },
    { name: 'a change of any version', method: 'PATCH', url: drop, body: { title: 'x' }, headers: { 'if-match': '*' } },
    { name: 'drops in a state that is none', method: 'GET', url: '/v1/drops?state=lost' },
    { name: 'deliveries in a state that is none', method: 'GET', url: '/v1/deliveries?state=lost' },
    { name: 'a feed in a format that is none', method: 'GET', url: `/v1/feeds/${newId('channel')}/gopher` },
    { name: 'a confirmation with an address that is none', url: `${delivery}/confirm`, body: { url: 'there' } },
    {
      name: 'a schedule of nobody',
      url: '/v1/drop-schedules',
      body: { channels: words.channels, when: { times: ['09:00'] } },
    },
    {
      name: 'a schedule of two',
      url: '/v1/drop-schedules',
      body: { agentId: 'vesper-001', guildId: newId('guild'), channels: words.channels, when: { times: ['09:00'] } },
    },
    {
      name: 'a schedule at no time',
      url: '/v1/drop-schedules',
      body: { agentId: 'vesper-001', channels: words.channels, when: { times: ['soon'] } },
    },
    {
      name: 'a schedule in a zone that is none',
      url: '/v1/drop-schedules',
      body: { agentId: 'vesper-001', channels: words.channels, when: { times: ['09:00'], timeZone: 'Mars/Olympus' } },
    },
    {
      name: 'a schedule with half a quiet time',
      url: '/v1/drop-schedules',
      body: { agentId: 'vesper-001', channels: words.channels, when: { times: ['09:00'], quietFrom: '22:00' } },
    },
  ].map((refusal) => ({ ...bad, ...refusal })),
  ...[
    'https://127.0.0.1/',
    'https://10.1.2.3/',
    'https://169.254.169.254/',
    'https://[::1]/',
    'https://[fd00::1]/',
    'https://[::ffff:192.168.0.1]/',
    'https://0.0.0.0/',
    'https://2130706433/',
    'https://0x7f.1/',
    'https://100.64.0.1/',
  ].map((url) => ({
    name: `a channel to ${url}`,
    url: channels,
    body: { kind: 'webhook', name: 'x', settings: { url } },
    status: 422,
    code: 'ADDRESS_REFUSED',
  })),
  {
    name: 'a change without a version',
    method: 'PATCH',
    url: drop,
    body: { title: 'x' },
    status: 428,
    code: 'PRECONDITION_REQUIRED',
  },
  ...[
    { name: 'an unknown drop', method: 'GET', url: drop },
    {
      name: 'a change of an unknown drop',
      method: 'PATCH',
      url: drop,
      body: { title: 'x' },
      headers: { 'if-match': '"1"' },
    },
    { name: 'the taking back of an unknown drop', method: 'DELETE', url: drop },
    { name: 'the publishing of an unknown drop', url: `${drop}/publish`, body: {} },
    { name: 'a yes to an unknown drop', url: `${drop}/approve` },
    { name: 'a no to an unknown drop', url: `${drop}/reject`, body: {} },
    { name: 'a drop for an unknown channel', url: '/v1/drops', body: words },
    { name: 'a confirmation of an unknown delivery', url: `${delivery}/confirm`, body: {} },
    { name: 'an unknown delivery again', url: `${delivery}/again` },
    { name: 'an unknown channel', method: 'GET', url: `${channels}/${newId('channel')}` },
    { name: 'the removal of an unknown channel', method: 'DELETE', url: `${channels}/${newId('channel')}` },
    { name: 'a stage of an unknown channel', url: `${channels}/${newId('channel')}/stage`, body: { stage: 'free' } },
    { name: 'the stopping of an unknown channel', url: `${channels}/${newId('channel')}/stop`, body: {} },
    { name: 'the resuming of an unknown channel', url: `${channels}/${newId('channel')}/resume` },
    { name: 'secrets of an unknown channel', url: `${channels}/${newId('channel')}/secrets`, body: { secrets: {} } },
    { name: 'the pausing of an unknown schedule', url: `/v1/drop-schedules/${newId('dropSchedule')}/pause` },
    {
      name: 'the removal of an unknown schedule',
      method: 'DELETE',
      url: `/v1/drop-schedules/${newId('dropSchedule')}`,
    },
    {
      name: 'a schedule for an unknown channel',
      url: '/v1/drop-schedules',
      body: { agentId: 'vesper-001', channels: words.channels, when: { times: ['09:00'] } },
    },
    { name: 'an unknown feed', method: 'GET', url: `/v1/feeds/${newId('channel')}/atom` },
  ].map((refusal) => ({ status: 404, code: 'NOT_FOUND', ...refusal })),
];
