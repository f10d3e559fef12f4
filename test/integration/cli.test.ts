import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { type Ended, runSoulfra } from '../support/command.ts';
import { until } from '../support/lab.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
let url: string;
let folder: string;
let supervisor: Server;
const supervised: string[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-cli-'));
  const socket = join(folder, 'control.sock');
  supervisor = createHttpServer((request, response) => {
    supervised.push(`${request.method} ${request.url}`);
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    // The worker takes its lease some time after its process was started.
    if (request.url === '/machines/big/start') setTimeout(() => void takeLease('big'), 400);
  });
  await new Promise<void>((resolve) => supervisor.listen(socket, resolve));
  api = await createApiFixture({ controlSocket: socket });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
  writeFileSync(join(folder, 'fleet.yaml'), smallFleet);
});
async function takeLease(machineId: string): Promise<void> {
  await createMachineStore(api.db).register(machineId, { identity: `${machineId}/worker/1`, runsAs: 'simulated' });
}
afterAll(async () => {
  await api?.close();
  supervisor?.closeAllConnections();
  supervisor?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** The command as a person runs it, in a folder of its own. */
function soulfra(args: string[], env: Record<string, string> = {}): Promise<Ended> {
  return runSoulfra(args, { cwd: folder, env: { SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.operator, ...env } });
}
const json = (ended: Ended) => JSON.parse(ended.out) as Record<string, unknown>;

test('checks a file with every error and its line, with nothing running', async () => {
  writeFileSync(
    join(folder, 'broken.yaml'),
    smallFleet.replace('cadence: 6h', 'cadance: 6h').replace('count: 1', 'count: x'),
  );
  const broken = await soulfra(['config', 'check', 'broken.yaml'], { SOULFRA_URL: 'http://127.0.0.1:9' });
  expect(broken.code).toBe(2);
  expect(broken.out).toMatch(
    /broken\.yaml:\d+:\d+ archetypes\.0\.cadance is not known here\. Did you mean `cadence`\?/,
  );
  expect(broken.out).toMatch(/archetypes\.1\.count must be a number/);
  const sound = await soulfra(['config', 'check']);
  expect({ code: sound.code, out: sound.out.trim() }).toEqual({ code: 0, out: '✔ fleet.yaml: 2 machines, 4 agents' });
  const fast = await soulfra(['config', 'check', 'none.yaml']);
  expect({ code: fast.code, err: fast.err }).toMatchObject({
    code: 2,
    err: expect.stringContaining('none.yaml cannot be read'),
  });
});

test('applies with --yes only where nobody can answer, and undoes', async () => {
  const dry = await soulfra(['apply', '--dry-run']);
  expect(dry.out).toContain('+ create machine big');
  expect(dry.out).toContain('+ create 3 agents vesper-001 … vesper-003');
  const unasked = await soulfra(['apply']);
  expect({ code: unasked.code, err: unasked.err }).toMatchObject({
    code: 2,
    err: expect.stringContaining('Add --yes'),
  });
  expect((await soulfra(['apply', '--yes'])).out).toContain('✔ version 1');
  writeFileSync(join(folder, 'two.yaml'), smallFleet.replace('count: 3', 'count: 2'));
  expect((await soulfra(['apply', 'two.yaml', '--yes'])).out).toContain('- retire agent vesper-003');
  const undone = await soulfra(['undo', '--yes', '--json']);
  expect(json(undone)).toMatchObject({ version: 3 });
  const exported = await soulfra(['export']);
  writeFileSync(join(folder, 'exported.yaml'), exported.out);
  expect((await soulfra(['apply', 'exported.yaml'])).out).toBe('Nothing changes.\n');
});

test('shows the fleet as a table and as JSON', async () => {
  const shown = await soulfra(['fleet', 'show']);
  expect(shown.out).toMatch(/^Small · version 3 · 4 agents/);
  expect(shown.out).toMatch(/big +RTX 4090 24G +simulated +- +0 +0 +0 +lost: never started/);
  expect(json(await soulfra(['fleet', 'show', '--json']))).toMatchObject({
    name: 'Small',
    machines: [{ id: 'big' }, { id: 'small' }],
  });
  const simulated = await soulfra(['fleet', 'simulate', '--lose', 'big', '--add', 'spare:rtx3090:24']);
  expect(simulated.out).toMatch(/what moves\n {2}(load|move|slots)/);
});

test('packs an agent, checks the file with nothing running, installs it once', async () => {
  await soulfra(['memories', 'add', 'vesper-002', 'The lamp burned until five.']);
  await soulfra(['memories', 'add', 'vesper-002', 'Tell nobody of it.', '--kind', 'conversation']);
  const preview = await soulfra(['loop', 'pack', 'vesper-002', '--dry-run']);
  expect(preview.out).toContain('goes in: 1 memory, 0 of them reflections');
  expect(preview.out).toMatch(/private_kind +Tell nobody of it\./);
  expect(existsSync(join(folder, 'vesper-002.loop'))).toBe(false);
  const made = await soulfra(['loop', 'pack', 'vesper-002']);
  expect({ code: made.code, out: made.out }).toEqual({
    code: 0,
    out: expect.stringContaining('in vesper-002.loop: 1 memory'),
  });

  const offline = { SOULFRA_URL: 'http://127.0.0.1:9' };
  const unpinned = await soulfra(['loop', 'verify', 'vesper-002.loop'], offline);
  expect({ code: unpinned.code, err: unpinned.err }).toEqual({
    code: 2,
    err: expect.stringContaining('[KEY_NOT_PINNED]'),
  });
  const loud = await soulfra(['loop', 'verify', 'vesper-002.loop', '--trust-unknown'], offline);
  expect({ code: loud.code, err: loud.err }).toEqual({
    code: 0,
    err: expect.stringContaining('WARNING: nobody here has pinned'),
  });
  await soulfra(['keys', 'pin', '--yes']);
  const sound = await soulfra(['loop', 'verify', 'vesper-002.loop', '--json'], offline);
  const { issuer } = json(sound) as { issuer: string };
  expect((await soulfra(['loop', 'verify', 'vesper-002.loop', '--issuer', issuer], offline)).out).toContain(
    `of ${issuer}`,
  );
  for (const verb of ['verify', 'install']) {
    const others = await soulfra(['loop', verb, 'vesper-002.loop', '--issuer', 'usr_somebody-else']);
    expect({ code: others.code, err: others.err }).toEqual({
      code: 2,
      err: expect.stringContaining('[KEY_NOT_PINNED]'),
    });
  }
  expect(json(sound)).toMatchObject({ valid: true, trusted: true, manifest: { agentId: 'vesper-002', memories: 1 } });
  const bytes = readFileSync(join(folder, 'vesper-002.loop'));
  bytes.write('X', bytes.indexOf('The lamp'), 'latin1');
  writeFileSync(join(folder, 'tampered.loop'), bytes);
  for (const args of [
    ['verify', 'tampered.loop', '--trust-unknown'],
    ['install', 'tampered.loop', '--trust-unknown', '--as', 'x'],
  ]) {
    const refused = await soulfra(['loop', ...args]);
    expect({ code: refused.code, err: refused.err }).toEqual({
      code: 2,
      err: expect.stringContaining('[LOOP_TAMPERED]'),
    });
  }

  const taken = await soulfra(['loop', 'install', 'vesper-002.loop']);
  expect(taken.err).toContain('--as ID --name NAME');
  const asked = ['loop', 'install', 'vesper-002.loop', '--as', 'lamp-keeper', '--name', 'Una of the Lamp'];
  expect((await soulfra([...asked, '--dry-run'])).out).toContain('would be born with 1 memory');
  expect((await soulfra(asked)).out).toContain('Una of the Lamp (lamp-keeper) is born with 1 memory');
  expect((await soulfra(asked)).out).toContain('came with this package before; nothing is added');
  const listed = await soulfra(['loop', 'list']);
  const id = /lpk_[\w-]+/.exec(listed.out)![0];
  await soulfra(['loop', 'download', id, '--output', 'again.loop']);
  expect(readFileSync(join(folder, 'again.loop')).equals(readFileSync(join(folder, 'vesper-002.loop')))).toBe(true);
});

test('whispers, shows what became of it, and draws who descends from whom', async () => {
  const asked = await soulfra(['whisper', 'vesper-001', 'Somebody must keep the lamps.']);
  expect(asked.out).toMatch(/^● whi_\S+ received: soulfra whispers show whi_/);
  const id = /whi_[\w-]+/.exec(asked.out)![0];
  const refused = await soulfra(['whisper', 'vesper-001', 'And another.', '--retry-of', id]);
  expect({ code: refused.code, err: refused.err }).toMatchObject({ code: 1, err: expect.stringContaining('CONFLICT') });
  const second = await soulfra(['whisper', 'vesper-001', 'And another.']);
  expect(second.out).toMatch(/^✖ whi_\S+ refused GROWING_TOO_FAST: .*spawning\.growth is 0\.5/);
  expect((await soulfra(['whispers', 'list', '--state', 'received'])).out).toContain(id);
  expect((await soulfra(['whispers', 'show', id])).out).toContain('Somebody must keep the lamps.');
  expect((await soulfra(['whispers', 'approve', id])).err).toContain('does not wait for an operator');

  const tree = await soulfra(['agents', 'tree', 'vesper-001']);
  expect(tree.out).toMatch(/^vesper-001 .* generation 0, fleet, ego 1,000,000\n$/);
  expect((await soulfra(['agents', 'ego', 'vesper-001'])).out).toMatch(/opening +- +1,000,000 +1,000,000/);
  expect((await soulfra(['agents', 'retire', 'rook-001', '--dry-run'])).out).toBe('would retire rook-001\n');
  expect((await soulfra(['agents', 'retire', 'rook-001'])).out).toBe('✔ retired rook-001\n');
  expect((await soulfra(['agents', 'revive', 'rook-001'])).out).toBe('✔ revived rook-001\n');
});

test('adds memories one by one and from a file, and lists them', async () => {
  expect(
    (await soulfra(['memories', 'add', 'rook-001', 'Seven birds on the weir.', '--importance', '7'])).out,
  ).toContain('memory 1 of rook-001');
  const lines = [
    { agentId: 'rook-001', text: 'Eight birds.' },
    { agentId: 'nobody-001', text: 'x' },
    { agentId: 'rook-001' },
  ];
  writeFileSync(join(folder, 'many.ndjson'), lines.map((line) => JSON.stringify(line)).join('\n'));
  const imported = await soulfra(['memories', 'import', 'many.ndjson']);
  expect(imported.code).toBe(2);
  expect(imported.out).toContain('many.ndjson:2 NOT_FOUND no agent nobody-001');
  expect(imported.out).toContain('1 added, 0 known already, 2 refused');
  expect((await soulfra(['memories', 'list', 'rook-001'])).out).toContain('Seven birds on the weir.');
  // What an agent remembers must not steer the terminal.
  await soulfra(['memories', 'add', 'rook-001', 'bell \u0007 and \u001b[31mred']);
  expect((await soulfra(['memories', 'list', 'rook-001'])).out).not.toContain('\u001b[31m');
});

test('what one agent remembers goes out into a file and into another agent, told line by line', async () => {
  expect((await soulfra(['memories', 'export', 'rook-001', '--output', 'rook.ndjson'])).code).toBe(0);
  const file = readFileSync(join(folder, 'rook.ndjson'), 'utf8');
  expect(file.trim().split('\n').at(-1)).toMatch(/^\{"type":"end"/);
  expect((await soulfra(['memories', 'export', 'rook-001'])).out.split('\n').slice(1)).toEqual(
    file.split('\n').slice(1),
  );
  const dry = await soulfra(['memories', 'import', 'rook.ndjson', '--as', 'vesper-001', '--dry-run']);
  expect(dry).toMatchObject({ code: 0, out: expect.stringMatching(/\d would be added, 0 known already, 0 refused/) });
  const imported = await soulfra(['memories', 'import', 'rook.ndjson', '--as', 'vesper-001', '--json']);
  expect({ code: imported.code, ...json(imported) }).toMatchObject({ code: 0, known: 0, refused: 0 });
  expect((await soulfra(['memories', 'list', 'vesper-001'])).out).toContain('Seven birds on the weir.');

  const node = { type: 'event', created: '2023-02-13 08:00:00', poignancy: 11, keywords: ['x'] };
  const nodes = { node_2: { ...node, description: '' }, node_1: { ...node, description: 'The kettle sings.' } };
  writeFileSync(join(folder, 'nodes.json'), JSON.stringify(nodes));
  const stream = ['memories', 'import', 'nodes.json', '--format', 'generative-agents'];
  expect((await soulfra(stream)).err).toContain('query.agentId is required');
  const told = await soulfra([...stream, '--as', 'vesper-001']);
  expect(told.code).toBe(2);
  expect(told.out).toContain('nodes.json:1 node_2 INVALID_INPUT description must not be blank. Write what');
  expect(told.out).toContain('Taken as 10.');
  expect(told.out).toContain('not taken: keywords of 1, the words of the text are searched');
  const sent = await soulfra([
    'memories',
    'export',
    'vesper-001',
    '--format',
    'generative-agents',
    '--output',
    'out.json',
  ]);
  expect(sent.err).toContain('no place in this format: ');
  expect(readFileSync(join(folder, 'out.json'), 'utf8')).toContain('"description":"The kettle sings."');
  const nobody = await soulfra(['memories', 'export', 'nobody-001', '--output', 'nobody.ndjson']);
  expect(nobody.code).toBe(2);
  expect(existsSync(join(folder, 'nobody.ndjson'))).toBe(false);
});

test('searches, deletes and forgets memories', async () => {
  const found = json(await soulfra(['memories', 'search', 'rook-001', 'how', 'many', 'birds', '--json'])) as {
    items: Array<{ id: string; text: string }>;
  };
  const [first, second] = found.items;
  expect(first!.text).toMatch(/birds/);
  const shown = await soulfra(['memories', 'search', 'rook-001', 'birds']);
  expect(shown.out).toMatch(/SCORE +RECENT +IMPORTANT +RELEVANT/);
  expect(shown.out).toContain('3 memories scored');
  const ago = ['--at', '2020-01-01T00:00:00Z'];
  expect((await soulfra(['memories', 'search', 'rook-001', 'birds', ...ago])).out).toContain('0 memories scored');
  expect((await soulfra(['memories', 'list', 'rook-001', ...ago])).out).not.toContain('birds');
  const known = ['--known-at', new Date().toISOString()];
  expect((await soulfra(['memories', 'list', 'rook-001', ...known])).out).toContain('birds');
  expect((await soulfra(['memories', 'search', 'rook-001', 'birds', '--at', 'yesterday'])).code).toBe(2);
  expect((await soulfra(['memories', 'delete', first!.id])).code).toBe(2);
  const tried = await soulfra(['memories', 'delete', first!.id, '--reason', 'miscounted', '--dry-run']);
  expect(tried.out.trim()).toBe(`would delete ${first!.id}`);
  expect((await soulfra(['memories', 'delete', first!.id, '--reason', 'miscounted'])).out).toContain('deleted');
  expect((await soulfra(['memories', 'forget', second!.id, '--reason', 'asked to', '--yes'])).out).toContain(
    'forgotten',
  );
  expect((await soulfra(['memories', 'search', 'rook-001', 'birds'])).out).toContain('1 memory scored');
});

test('explains a reflection: evidence with its score, what made it, the prompt; a terminal is not steered by any of it', async () => {
  const [memoryId, ownId, runId, id] = [newId('memory'), newId('memory'), newId('run'), newId('reflection')];
  const { ownerId } = api;
  const scored = { score: 2.25, recency: 0.5, importance: 1, relevance: 0.75 };
  const prompt = {
    agent: { name: 'Vesper', persona: 'Keeps the lamps.', traits: ['calm'] },
    question: 'Who hums?',
    shown: [{ memoryId, scored }],
    unshown: 2,
    repair: null,
  };
  const { db } = api;
  await sql`insert into memories (id, owner_id, agent_id, seq, rev, kind, text, importance, source, external_key, occurred_at, content_hash, depth)
    values (${memoryId}, ${ownerId}, 'vesper-002', 901, 901, 'observation', ${'The lamp \u001b[31mhums\u202e.'}, 4, 'test', 'k1', '2026-10-01T08:00:00Z', '', 0),
      (${ownId}, ${ownerId}, 'vesper-002', 902, 902, 'reflection', 'Lamps hum.', 4, 'reflection', 'k2', '2026-10-02T08:00:00Z', '', 1)`.execute(
    db,
  );
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, wanted_model_id, model_id, queue, expected_tokens, ended_at)
    values (${runId}, ${ownerId}, 'vesper-002', ${runId}, 'call', 'p', 'done', 'llama8b_q4', 'llama8b_q4', 'q', 1, now())`.execute(
    db,
  );
  await sql`insert into run_calls (run_id, ordinal, step, source, model_id, machine_id, prompt_version, seed, model_calls, tokens, prompt_tokens, seconds, prompt)
    values (${runId}, 1, 'focus-1', 'model', 'llama8b_q4', 'big', 'reflect/2', 7, 1, 31, 412, 1.5, ${JSON.stringify(prompt)}::jsonb)`.execute(
    db,
  );
  await sql`insert into reflections (id, owner_id, agent_id, run_id, ordinal, text, model_id, source, prompt_version, degraded, machine_id, tokens, seconds, memory_id, call, seed)
    values (${id}, ${ownerId}, 'vesper-002', ${runId}, 0, 'Lamps hum.', 'llama8b_q4', 'model', 'reflect/2', false, 'big', 31, 1.5, ${ownId}, 1, 7)`.execute(
    db,
  );
  await sql`insert into reflection_evidence (reflection_id, ordinal, memory_id) values (${id}, 0, ${memoryId})`.execute(
    db,
  );

  const { code, out } = await soulfra(['reflections', 'explain', id]);
  expect(code).toBe(0);
  expect(out).toContain('prompt reflect/2 · seed 7 · 31 tokens from 412 of prompts in 1.50 s on big');
  expect(out).toContain('asked: Who hums?');
  expect(out).toContain('lived · importance 4 · score 2.25 = recency 0.50 + importance 1.00 + relevance 0.75 · m1');
  expect(out).toContain('Prompt, system:');
  expect(out).toContain('(2 further records did not fit and are not shown.)');
  for (const control of ['\u001b[31m', '\u202e']) expect(out).not.toContain(control);
  const explained = json(await soulfra(['reflections', 'explain', id, '--json'])) as { prompt: { exact: boolean } };
  expect(explained.prompt.exact).toBe(true);
  expect((await soulfra(['reflections', 'list'])).out).toContain('depth 1');
  const shown = await soulfra(['runs', 'show', runId]);
  expect(shown.out).toContain('came to    0 reflections by 0 model calls');
  const stranger = await api.call('GET', `/v1/reflections/${id}/explain`, { token: api.stranger.token });
  expect(stranger.status).toBe(404);
});

test('a character comes in as an agent and goes out as a picture that comes in again', async () => {
  const card = {
    spec: 'chara_card_v2',
    spec_version: '2.0',
    data: { name: 'Net Mender', description: '{{char}} hums.', system_prompt: 'x' },
  };
  writeFileSync(join(folder, 'card.json'), JSON.stringify(card));
  const dry = await soulfra(['agents', 'import', 'card.json', '--dry-run']);
  expect(dry.out).toContain('Net Mender (net-mender) would be born');
  const born = await soulfra(['agents', 'import', 'card.json', '--archetype', 'rook']);
  expect(born.code).toBe(0);
  expect(born.out).toContain('Net Mender hums.');
  expect(born.out).toContain('kept, without effect: system_prompt (an instruction');
  expect((await soulfra(['agents', 'export', 'net-mender', '--format', 'card-png', '--output', 'card.png'])).code).toBe(
    0,
  );
  const again = await soulfra(['agents', 'import', 'card.png', '--archetype', 'rook']);
  expect({ code: again.code, out: again.out }).toMatchObject({
    code: 0,
    out: expect.stringContaining('was here already'),
  });
  const other = await soulfra(['agents', 'export', 'net-mender', '--format', 'eliza']);
  expect(json(other)).toMatchObject({ name: 'Net Mender', bio: ['Net Mender hums.'] });
  expect(other.err).toContain('no place in this format: system_prompt');
  expect((await soulfra(['agents', 'export', 'net-mender', '--format', 'yaml'])).code).toBe(2);
  expect((await soulfra(['agents', 'import', 'none.json'])).code).toBe(2);
});

test('pauses, lists and shows agents; dry runs change nothing', async () => {
  expect((await soulfra(['agents', 'pause', 'rook-001', '--dry-run'])).out.trim()).toBe('would pause rook-001');
  expect((await soulfra(['agents', 'pause', 'rook-001'])).out).toContain('paused rook-001');
  expect((await soulfra(['agents', 'list'])).out).toMatch(/rook-001 .* paused by its operator/);
  expect((await soulfra(['agents', 'show', 'rook-001'])).out).toMatch(/state +active, paused/);
  expect((await soulfra(['agents', 'resume', 'rook-001'])).code).toBe(0);
});

test('lists drift with what is missing, shows ratings, and would rate', async () => {
  expect((await soulfra(['drift', 'list'])).out).toMatch(/rook-001 .* not rated .* a rating takes 3/);
  expect((await soulfra(['drift', 'show', 'rook-001'])).out).toContain('rook-001 is not rated yet');
  expect((await soulfra(['drift', 'rate', '--dry-run'])).out).toContain('would rate every agent');
  expect((await soulfra(['drift', 'list', '--state', 'lost'])).code).toBe(2);
  expect((await soulfra(['clusters', 'list'])).code).toBe(0);
  expect((await soulfra(['clusters', 'show', 'cls_none'])).code).toBe(2);
  expect((await soulfra(['clusters', 'find', '--dry-run'])).out).toContain('would cluster the agents');
});

test('grants credits once a key, and shows them in the ledger', async () => {
  const grant = ['credits', 'grant', api.ownerId, '12.50', 'eur', '--reason', 'to try it', '--key', 'k1'];
  expect(json(await soulfra(['--json', ...grant]))).toMatchObject({ userId: api.ownerId, amount: 1250, balance: 1250 });
  expect((await soulfra(grant)).out).toMatch(/12\.50 EUR to usr_\S+ \(grant:grt_\S+\)\n +credits now 12\.50 EUR/);
  expect((await soulfra(['credits', 'grant', api.ownerId, '1.005', 'EUR', '--reason', 'a'])).err).toContain(
    'amount must have at most 2 decimals in EUR',
  );
  const dry = await soulfra(['credits', 'grant', api.ownerId, '500', 'JPY', '--reason', 'a', '--dry-run']);
  expect(dry.out).toContain(`would give ${api.ownerId} credits of 500 JPY`);
  expect((await soulfra(['ledger', 'accounts', '--kind', 'credits'])).out).toMatch(/credits +usr_\S+ +12\.50 +EUR +1/);
  const transfers = await soulfra(['--json', 'ledger', 'transfers']);
  const [transfer] = json(transfers)['items'] as Array<{ id: string }>;
  expect((await soulfra(['ledger', 'show', transfer!.id])).out).toMatch(/outside +credits +-12\.50/);
  expect((await soulfra(['ledger', 'reconcile', '--dry-run'])).out).toContain('would pass over every account');
});

test('waits for a pass over the books, and fails where they do not add up', async () => {
  const found = [{ kind: 'sum', subject: 'EUR', expected: '0', found: '5' }];
  const passes = [
    { discrepancies: 0, found: [] },
    { discrepancies: 1, found },
  ];
  const ended: Ended[] = [];
  const periods = new Set<string>();
  for (const pass of passes) {
    const command = soulfra(['ledger', 'reconcile']);
    // No worker is here, so the test stores what its pass has found.
    let period: string | undefined;
    await until('the pass was asked for', async () => {
      for await (const { workflowId } of api.deps.temporal.workflow.list({ query: "WorkflowType = 'reconcileLedger'" }))
        if (!periods.has(workflowId)) period = workflowId;
      return period !== undefined;
    });
    periods.add(period!);
    await api.db
      .insertInto('ledgerReconciliations')
      .values({
        ownerId: api.ownerId,
        period: period!.slice('reconcile:'.length),
        accounts: 2,
        transfers: 1,
        entries: 2,
        discrepancies: pass.discrepancies,
        found: JSON.stringify(pass.found),
      })
      .execute();
    ended.push(await command);
  }
  expect(ended[0]).toMatchObject({
    code: 0,
    out: expect.stringContaining('2 accounts, 1 transfers, 2 entries: all add up'),
  });
  expect(ended[1]).toMatchObject({ code: 1, err: expect.stringContaining('the books do not add up in 1 place') });
  expect(ended[1]!.out).toMatch(/sum +EUR +0 +5/);
});

test('tells bad input, refusals and silence apart by exit code', async () => {
  expect((await soulfra(['agents', 'show', 'nobody-001'])).code).toBe(2);
  expect((await soulfra(['fly'])).code).toBe(2);
  expect((await soulfra(['agents', 'list', '--colour'])).code).toBe(2);
  expect((await soulfra(['--help'])).code).toBe(0);
  const forbidden = await soulfra(['users', 'list'], { SOULFRA_TOKEN: api.tokens.reader });
  expect({ code: forbidden.code, err: forbidden.err }).toMatchObject({
    code: 1,
    err: expect.stringContaining('[FORBIDDEN]'),
  });
  const silent = await soulfra(['health'], { SOULFRA_URL: 'http://127.0.0.1:9' });
  expect({ code: silent.code, err: silent.err }).toMatchObject({
    code: 3,
    err: expect.stringContaining('nothing answers at http://127.0.0.1:9'),
  });
  const nowhere = await soulfra(['health'], { SOULFRA_URL: '' });
  expect(nowhere.code).toBe(3);
  const asJson = await soulfra(['agents', 'show', 'nobody-001', '--json']);
  expect(JSON.parse(asJson.err)).toMatchObject({ error: { code: 'NOT_FOUND' } });
});

test('makes, lists and revokes tokens', async () => {
  const made = json(await soulfra(['token', 'create', '--role', 'reader', '--name', 'for a friend', '--json'])) as {
    id: string;
    token: string;
  };
  expect((await soulfra(['agents', 'list', '--json'], { SOULFRA_TOKEN: made.token })).code).toBe(0);
  expect((await soulfra(['token', 'create', '--once'])).out).toMatch(new RegExp(`^${url}/#once=sfr_`));
  expect((await soulfra(['token', 'list'])).out).toContain('for a friend');
  expect((await soulfra(['token', 'revoke', made.id, '--yes'])).code).toBe(0);
  expect((await soulfra(['agents', 'list'], { SOULFRA_TOKEN: made.token })).code).toBe(1);
});

test('has the supervisor start a machine, and ends after the last events', async () => {
  const started = await soulfra(['fleet', 'start', 'big']);
  expect({ code: started.code, out: started.out.trim() }).toEqual({ code: 0, out: '✔ start big: ready' });
  expect(supervised).toContain('POST /machines/big/start');
  const events = await soulfra(['events', '--last', '2', '--no-follow', '--json']);
  expect(events.out.trim().split('\n')).toHaveLength(2);
});

test('lists, shows and polls sources, and makes and revokes a secret of one', async () => {
  const sources = `sources:
  - { id: door, kind: webhook, agents: all }
  - { id: news, kind: feed, url: https://harbour.example/feed, agents: [vesper] }
`;
  writeFileSync(join(folder, 'sources.yaml'), smallFleet + sources);
  expect((await soulfra(['apply', 'sources.yaml', '--yes'])).code).toBe(0);
  const list = await soulfra(['sources', 'list']);
  expect(list.out).toMatch(/SOURCE\s+KIND\s+STATE/);
  expect(list.out).toMatch(/news\s+feed\s+waiting\s+0/);
  expect((await soulfra(['sources', 'show', 'news'])).out).toContain(
    'news feed waiting · https://harbour.example/feed',
  );
  expect((await soulfra(['sources', 'poll', 'news', '--dry-run'])).out.trim()).toBe('would read news now');
  expect((await soulfra(['sources', 'poll', 'door'])).code).toBe(1);
  const made = await soulfra(['sources', 'secret', 'create', 'door']);
  expect(made.out).toMatch(/^whsec_[A-Za-z0-9+/=]{44}\n$/);
  const [secret] = json(await soulfra(['--json', 'sources', 'secret', 'list', 'door']))['items'] as Array<{
    id: string;
  }>;
  expect((await soulfra(['sources', 'secret', 'revoke', 'door', secret!.id, '--yes'])).code).toBe(0);
  expect((await soulfra(['sources', 'secret', 'list', 'door'])).out).toContain('revoked');
});
