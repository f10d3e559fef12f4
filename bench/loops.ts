import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { createRandom } from '../domain/random.ts';
import { loopMediaType } from '../domain/loop-packages.ts';
import { testFleet } from '../test/support/fleets.ts';
import { type Lab, labOwner, openLab, openLabServers } from '../test/support/lab.ts';
import { newSigner, packed, signedLoop } from '../test/support/loops.ts';
import { freePorts } from './support/fleet-bench.ts';

/**
 * How long the API of everybody stands still while one packs an agent of 100,000 memories and installs a package of 10,000:
 * the longest answer of `GET /v1/health/live` meanwhile, asked for all the time, beside the longest of an idle API.
 */
const many = 100_000;
const packable = 10_000;

const base = await openLabServers();
try {
  const lab = await openLab(base.addresses, { logs: `${base.folder}/logs` });
  try {
    await lab.apply(testFleet({ light: 1, limits: { requestsPerMinute: 1_000_000 } }));
    await seed(lab);
    const [port] = await freePorts(1);
    const api = await lab.startApi(port!, { SOULFRA_SECRET_KEY: randomBytes(32).toString('base64url') });
    // The first of each loads what the later ones find loaded.
    const rounds: Figures[] = [];
    for (let round = 0; round < 3; round += 1) rounds.push(await measure(api, round));
    const worst = (of: keyof Figures) => Math.max(...rounds.map((each) => each[of]));
    process.stdout.write(
      `${JSON.stringify({
        memories: many,
        idle_longest_ms: worst('idle'),
        preview_longest_ms: worst('preview'),
        preview_ms: worst('previewTook'),
        pack_longest_ms: worst('pack'),
        pack_ms: worst('packTook'),
        installed: packable,
        install_longest_ms: worst('install'),
        install_ms: worst('installTook'),
      })}\n`,
    );
  } finally {
    await lab.close();
  }
} finally {
  await base.close();
}

interface Reached {
  url: string;
  token: string;
}

type Figures = Awaited<ReturnType<typeof measure>>;

async function measure(api: Reached, round: number) {
  const choice = { leastImportance: 10 };
  const path = '/v1/agents/light-001/loops';
  const archive = longLife(round);
  const letter = String.fromCharCode(97 + round);
  const [idle] = await longest(api, () => new Promise((resolve) => setTimeout(resolve, 2_000)));
  const [preview, previewTook] = await longest(api, () => call(api, `${path}?dryRun=true`, JSON.stringify(choice)));
  const [pack, packTook] = await longest(api, () => call(api, path, JSON.stringify(choice)));
  const install = () =>
    call(api, `/v1/loops?trustUnknown=true&as=life-${letter}&name=Life-${letter}&archetype=light`, archive);
  const [installLongest, installTook] = await longest(api, install);
  const figures = { idle, preview, previewTook, pack, packTook, install: installLongest, installTook };
  process.stderr.write(`${JSON.stringify(figures)}\n`);
  return figures;
}

/** @returns the longest answer of the API to anybody else while the work goes on, and how long that took, in ms */
async function longest(api: Reached, work: () => Promise<unknown>): Promise<[number, number]> {
  let done = false;
  let most = 0;
  const asking = (async () => {
    while (!done) {
      const from = performance.now();
      await (await fetch(`${api.url}/v1/health/live`)).text();
      most = Math.max(most, performance.now() - from);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  })();
  const from = performance.now();
  let took: number;
  try {
    await work();
    took = performance.now() - from;
  } finally {
    done = true;
    await asking;
  }
  return [Math.round(most), Math.round(took)];
}

async function call({ url, token }: Reached, path: string, body: string | Uint8Array<ArrayBuffer>): Promise<void> {
  const type = typeof body === 'string' ? 'application/json' : loopMediaType;
  const headers = { authorization: `Bearer ${token}`, 'content-type': type };
  const response = await fetch(url + path, { method: 'POST', headers, body });
  if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  await response.arrayBuffer();
}

/** Of 100 bytes each; a quarter is talk, which stays private and is looked for in all that the agent wrote. */
async function seed({ db }: Lab): Promise<void> {
  const random = createRandom(20_265);
  const words = Array.from({ length: 4_000 }, () => Math.floor(random.next() * 36 ** 5).toString(36));
  const sentence = (from: number) =>
    Array.from({ length: 14 }, () => words[random.int(words.length)]!).join(' ') + ` ${from}`;
  for (let from = 0; from < many; from += 2_000) {
    const rows = Array.from({ length: 2_000 }, (_, i) => ({ seq: from + i + 1, text: sentence(from + i + 1) }));
    await sql`insert into memories (id, owner_id, agent_id, seq, rev, kind, text, importance, source, external_key, occurred_at, content_hash)
      select 'mem_01890000-0000-7000-8000-' || lpad(to_hex(seq), 12, '0'), ${labOwner}, 'light-001', seq, seq,
        case when seq % 4 = 0 then 'conversation' when seq % 4 = 1 then 'drop' else 'observation' end, text, 1 + seq % 10, 'world',
        'bench-' || seq, timestamptz '2026-01-01' + seq * interval '1 minute', sha256(convert_to(text, 'UTF8'))
      from unnest(${rows.map(({ seq }) => seq)}::bigint[], ${rows.map(({ text }) => text)}::text[]) as new (seq, text)`.execute(
      db,
    );
  }
  await sql`update agents set memory_seq = ${many}, memory_rev = ${many} where id = 'light-001'`.execute(db);
  await sql`analyze`.execute(db);
}

function longLife(round: number): Uint8Array<ArrayBuffer> {
  const memories = Array.from({ length: packable }, (_, i) =>
    i % 20 === 19
      ? packed(`m${i}`, { kind: 'reflection', text: `Insight ${i} of ${round}.`, evidence: [`m${i - 1}`, `m${i - 7}`] })
      : packed(`m${i}`, {
          text: `On day ${i} of year ${round} the ferry came at ${i % 24} with ${i * 7} crates of rope, and Osk counted them twice before the rain set in.`,
          occurredAt: new Date(Date.UTC(2020, 0, 1) + i * 3_600_000).toISOString(),
        }),
  );
  return new Uint8Array(signedLoop(memories, newSigner()));
}
