import type { Command } from 'commander';
import { type Ballot, ballotPath, choiceWords, effectWords, ego, type Tally, type Vote } from '../ballots.ts';
import { CommandFailure, exitCodes } from '../failures.ts';
import type { Would } from '../licenses.ts';
import { ago, bold, dim, good, line, plain, plainLines, printJson, styledState, table } from '../output.ts';
import { limitOption, sessionOf } from '../program.ts';

interface Remark extends Would {
  id: string;
  authorId: string;
  text: string;
  saidAt: string;
}
interface Recount {
  ballotId: string;
  equal: boolean;
  stored: Tally;
  counted: Tally;
}

export function ballotCommands(program: Command): void {
  const ballots = program.command('ballots').description('proposals, their votes and what became of them');
  looking(ballots);
  speaking(ballots);
}

function looking(ballots: Command): void {
  limitOption(
    ballots.command('list').option('--state <state>', 'such as open').description('the last proposed first'),
  ).action(async ({ limit, state }: { limit: number; state?: string }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Ballot>('/ballots', { state }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['BALLOT', ({ id }) => id],
        ['STATE', ({ state: is }) => is],
        ['METHOD', ({ method }) => method],
        ['BY', ({ authorId }) => authorId],
        ['CLOSES', ({ closesAt }) => ago(closesAt)],
        ['TITLE', ({ title }) => title],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  ballots
    .command('show')
    .argument('<ballot>', 'its id')
    .description('one ballot, with its tally; while it is open, of the votes so far')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const ballot = await client.get<Ballot>(ballotPath(id));
      if (json) return printJson(ballot);
      const isOpen = ballot.state === 'open';
      const { tally } = isOpen ? await client.get<{ tally: Tally }>(ballotPath(id, '/tally')) : ballot;
      line(`${bold(plain(ballot.title))} ${styledState(ballot.state)} ${dim(ballot.id)}`);
      if (ballot.text !== '') line(plainLines(ballot.text));
      const why = [ballot.reasonCode, ballot.reason].filter((text) => text !== '').join(': ');
      if (why !== '') line(`why       ${plain(why)}`);
      line(`by        ${ballot.authorId}, ${ago(ballot.createdAt)}; ${ballot.method}`);
      line(`effect    ${effectWords(ballot)}`);
      line(`needs     quorum ${ballot.quorum} %, threshold ${ballot.threshold} %`);
      line(`opens     ${ballot.opensAt}${ballot.closesAt === null ? '' : `, closes ${ballot.closesAt}`}`);
      if (ballot.extendedAt !== null) line(`extended  ${ballot.extendedAt}, as its quorum came late`);
      if (ballot.weight !== null) line(`present   ${ego(ballot.present)} of ${ego(ballot.weight)}`);
      printScores(ballot, tally);
      if (isOpen) line(dim('of the votes so far'));
    });

  limitOption(
    ballots
      .command('votes')
      .argument('<ballot>', 'its id')
      .option('--given', 'only who has voted')
      .description('the electorate with its votes'),
  ).action(async (id: string, { limit, given }: { limit: number; given?: boolean }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Vote>(ballotPath(id, '/votes'), { hasVoted: given }, limit);
    if (json) return printJson(page);
    line(
      table(page.items, [
        ['VOTER', ({ voterId }) => voterId],
        ['WEIGHT', ({ weight }) => ego(weight)],
        ['BY', ({ origin, follows, asked }) => origin ?? (follows === null ? (asked ? 'asked' : '') : `as ${follows}`)],
        ['VOTE', ({ hasVoted, choice }) => (hasVoted ? choiceWords(choice) : '')],
        ['WHY', ({ reason }) => reason],
      ]),
    );
    if (page.nextCursor !== null) line(dim(`more: --limit ${limit * 2}`));
  });

  ballots
    .command('recount')
    .argument('<ballot>', 'its id')
    .description('count the stored votes anew, and compare with the tally to the last bit')
    .action(async (id: string, _options: object, command: Command) => {
      const { client, json } = sessionOf(command);
      const recount = await client.get<Recount>(ballotPath(id, '/recount'));
      if (json) printJson(recount);
      else {
        printScores(await client.get<Ballot>(ballotPath(id)), recount.counted);
        if (recount.equal) line(`${good('✔')} equal to the tally, to the last bit`);
      }
      if (!recount.equal)
        throw new CommandFailure(`the tally of ${id} is not what its votes come to`, { exitCode: exitCodes.failed });
    });
}

function printScores({ options, winner }: Ballot, tally: Tally | null): void {
  if (tally === null) return options.forEach((option, i) => line(`${i + 1}  ${plain(option)}`));
  const share = (score: number) => (tally.base === 0 ? '' : `${((100 * score) / tally.base).toFixed(2)} %`);
  const rows = options.map((option, i) => ({ option, number: i + 1, score: tally.scores[i] ?? 0 }));
  line(
    table(rows, [
      ['#', ({ number }) => `${number}${number === winner ? ' ✔' : ''}`],
      ['SCORE', ({ score }) => ego(score)],
      ['SHARE', ({ score }) => share(score)],
      ['OPTION', ({ option }) => option],
    ]),
  );
  for (const [i, { eliminated, exhausted }] of tally.rounds.entries())
    if (eliminated !== null) line(dim(`round ${i + 1}: option ${eliminated} goes; exhausted ${ego(exhausted)}`));
  line(dim(`${tally.voters} voters, ${ego(tally.abstained)} abstained`));
}

function speaking(ballots: Command): void {
  ballots
    .command('remark')
    .argument('<ballot>', 'its id')
    .argument('<text>', 'what is said')
    .option('--as <agent>', 'your agent that says it; default: you yourself')
    .option('--dry-run', 'check only')
    .description('say something on a proposal')
    .action(async (id: string, text: string, options: { as?: string; dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const { dryRun, as } = options;
      const remark = await client.post<Remark>(ballotPath(id, '/remarks'), { text, as }, { dryRun });
      if (json) return printJson(remark);
      line(remark.would === undefined ? `${good('✔')} ${remark.id}` : `would ${remark.would}`);
    });

  limitOption(
    ballots.command('remarks').argument('<ballot>', 'its id').description('what was said, the first first'),
  ).action(async (id: string, { limit }: { limit: number }, command: Command) => {
    const { client, json } = sessionOf(command);
    const page = await client.list<Remark>(ballotPath(id, '/remarks'), {}, limit);
    if (json) return printJson(page);
    for (const { authorId, text, saidAt } of page.items) line(`${dim(ago(saidAt))} ${bold(authorId)} ${plain(text)}`);
  });

  ballots
    .command('withdraw')
    .argument('<ballot>', 'its id')
    .option('--dry-run', 'check only')
    .description('end a ballot that you proposed before it has closed')
    .action(async (id: string, { dryRun }: { dryRun?: boolean }, command: Command) => {
      const { client, json } = sessionOf(command);
      const ballot = await client.post<Ballot>(ballotPath(id, '/withdraw'), {}, { dryRun });
      if (json) return printJson(ballot);
      line(ballot.would === undefined ? `${good('✔')} ${ballot.id} is withdrawn` : `would ${ballot.would}`);
    });
}
