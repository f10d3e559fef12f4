import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setTimeout as pause } from 'node:timers/promises';
import { isDeepStrictEqual, parseArgs } from 'node:util';
import { sql } from 'kysely';
import { votingMethods, type VotingMethod } from '../domain/ballots.ts';
import { ballotWorkflowId } from '../domain/ids.ts';
import { rowsChangedSignal } from '../domain/messages.ts';
import { createRandom } from '../domain/random.ts';
import type { Tally } from '../domain/tallies.ts';
import { countVotes } from '../stores/ballot-counts.ts';
import { createBallotStore } from '../stores/ballots.ts';
import { createPrincipalStore } from '../stores/principals.ts';
import { testFleet } from '../test/support/fleets.ts';
import { type Lab, labOwner, type LabProcess, openLab, openLabServers, until } from '../test/support/lab.ts';
import { voteAll } from './support/ballot-crowd.ts';
import { freePorts } from './support/fleet-bench.ts';
import { startLabApi, untilItAnswers } from './support/lab-api.ts';
import { differenceFromPlain, storeBallot } from './support/stored-ballot.ts';

/**
 * 100,000 stored votes of each method closed and recounted from Postgres, held against a plain count of the bench's own; then 297
 * voters at once through the real API and a real worker, both killed meanwhile and as the vote closes: what was answered is counted.
 */
const { values: args } = parseArgs({ options: { votes: { type: 'string' }, kills: { type: 'string' } } });
const size = { votes: Number(args.votes ?? 100_000), voters: 297, kills: Number(args.kills ?? 5) };
const seed = 20_266;
const boundSeconds = 3;
/** Between two votes of a voter, in milliseconds. */
const pauseMs = 400;

const base = await openLabServers();
const logs = mkdtempSync(join(tmpdir(), 'soulfra-ballots-'));
const lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn' });
let isGood = true;
try {
  const counted = await countStored(lab);
  const crowd = await vote(lab);
  isGood =
    Object.values(counted.seconds).every((seconds) => seconds < boundSeconds) &&
    counted.equal &&
    crowd.lost === 0 &&
    crowd.recountEqual &&
    crowd.kills === size.kills;
  process.stdout.write(
    `${JSON.stringify({
      seconds_100k: counted.seconds,
      votes_lost: crowd.lost,
      kills: crowd.kills,
      voters: size.voters,
      votes_answered: crowd.answered,
      recount_equal: counted.equal && crowd.recountEqual,
      most_difference_from_plain: counted.difference,
      seconds_read_only: counted.readOnly,
      longest_block_ms: counted.blockedMs,
    })}\n`,
  );
} finally {
  await lab.close();
  await base.close();
  rmSync(logs, { recursive: true, force: true });
}
process.exitCode = isGood ? 0 : 1;

async function countStored({ db }: Lab) {
  const random = createRandom(seed);
  const seconds = {} as Record<VotingMethod, number>;
  const blockedMs = {} as Record<VotingMethod, number>;
  let [readOnly, difference, equal] = [0, 0, true];
  for (const method of votingMethods) {
    const { id, votes } = await storeBallot(db, { method, voters: size.votes, random });
    const closed = await createBallotStore(db).closeVote(id);
    const row = await db.selectFrom('ballots').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    const delays = monitorEventLoopDelay({ resolution: 1 });
    delays.enable();
    const from = performance.now();
    const tally = await countVotes(db, { id, method, options: row.options });
    seconds[method] = rounded((performance.now() - from) / 1000);
    delays.disable();
    blockedMs[method] = Math.round(delays.max / 1e6);
    // The same pages, read and thrown away.
    const readFrom = performance.now();
    await sql`select e.voter_id, e.lineage_id, e.weight, v.choice from electors e join votes v using (ballot_id, voter_id)
      where ballot_id = ${id} order by voter_id`.execute(db);
    readOnly = Math.max(readOnly, rounded((performance.now() - readFrom) / 1000));
    const off = differenceFromPlain(method, votes, tally);
    difference = Math.max(difference, off);
    const isEqual = isDeepStrictEqual(tally, row.tally);
    equal &&= isEqual && closed.kind === 'closed' && off < 1e-9;
    process.stderr.write(
      `${method}: ${seconds[method]} s for ${tally.voters} votes, ${blockedMs[method]} ms at a time, off by ${off}, equal ${isEqual}\n`,
    );
  }
  return { seconds, blockedMs, readOnly, difference, equal };
}

async function vote(lab: Lab) {
  const { db, client } = lab;
  const fleet = testFleet({ heavy: 0, light: size.voters, limits: { requestsPerMinute: 1_000_000 } });
  await lab.apply({ ...fleet, ballots: { ...fleet.ballots, votesPerHour: 10_000 } });
  const { secret: token } = await createPrincipalStore(db).issue({
    ownerId: labOwner,
    kind: 'bearer',
    role: 'operator',
    name: 'bench',
  });
  const [port = 0] = await freePorts(1);
  const start: Record<string, () => LabProcess> = {
    api: () => startLabApi(lab, port, undefined),
    worker: () => lab.startWorker('pc2'),
  };
  const processes = Object.fromEntries(Object.entries(start).map(([name, begin]) => [name, begin()]));
  const url = `http://127.0.0.1:${port}`;
  await untilItAnswers(url);
  const proposed = await fetch(`${url}/v1/ballots`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': 'bench' },
    body: JSON.stringify({ title: 'All at once', options: ['One', 'Two', 'Three'], discussion: '0s', vote: '1d' }),
  });
  const { id } = (await proposed.json()) as { id: string };
  const stateOf = async () =>
    (await db.selectFrom('ballots').select('state').where('id', '=', id).executeTakeFirst())?.state;
  await until('the vote is open', async () => (await stateOf()) === 'open');
  const voters = await db.selectFrom('electors').select('voterId').where('ballotId', '=', id).execute();

  let [answered, kills] = [0, 0];
  const random = createRandom(seed + 1);
  const crowd = voteAll({
    url,
    token,
    ballotId: id,
    voters: voters.map(({ voterId }) => voterId),
    pauseMs,
    onAnswer: () => (answered += 1),
  });
  const kill = async (name: string) => {
    await processes[name]!.end('SIGKILL');
    kills += 1;
    processes[name] = start[name]!();
  };
  // The API more often: it is what writes votes.
  for (let i = 0; i < size.kills - 1; i += 1) {
    const due = answered + Math.round(size.voters * 0.6) + random.int(size.voters);
    while (answered < due) await pause(5);
    await kill(i % 3 === 2 ? 'worker' : 'api');
  }
  await sql`update ballots set closes_at = date_trunc('milliseconds', clock_timestamp()) + interval '1 second' where id = ${id}`.execute(
    db,
  );
  await client.workflow.getHandle(ballotWorkflowId(id)).signal(rowsChangedSignal);
  await pause(950);
  await kill('worker');
  const known = await crowd;
  await until('the vote has closed', async () => (await stateOf()) !== 'open', 120_000);

  const votes = await db
    .selectFrom('votes')
    .select(['voterId', 'choice', 'origin'])
    .where('ballotId', '=', id)
    .execute();
  const stored = new Map(votes.filter(({ origin }) => origin === 'person').map((row) => [row.voterId, row.choice]));
  let lost = 0;
  const scores = [0, 0, 0];
  for (const [voter, { acknowledged, inDoubt }] of known) {
    const choice = stored.get(voter) as number | undefined;
    if (choice === undefined ? acknowledged !== undefined : choice !== acknowledged && !inDoubt.has(choice)) lost += 1;
    if (choice !== undefined) scores[choice - 1]! += 1_000_000;
  }
  const { tally } = await db.selectFrom('ballots').select('tally').where('id', '=', id).executeTakeFirstOrThrow();
  await untilItAnswers(url);
  const recount = (await (
    await fetch(`${url}/v1/ballots/${id}/recount`, { headers: { authorization: `Bearer ${token}` } })
  ).json()) as { equal: boolean };
  // What is stored is what is counted: every agent has one ego here.
  const isCounted = JSON.stringify((tally as unknown as Tally).scores) === JSON.stringify(scores);
  process.stderr.write(
    `${known.size} voters, ${answered} votes answered, ${kills} kills, ${lost} lost, ${scores.join(' ')}\n`,
  );
  return { lost: isCounted ? lost : size.voters, kills, answered, recountEqual: recount.equal && isCounted };
}

function rounded(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}
