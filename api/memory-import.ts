import { DomainError, isDomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';
import { memoryFormatVersion, type TellingLine } from '../domain/memory-lines.ts';
import type { MemoryImporter } from '../integrations/importers/importer.ts';
import { createImportReport, type ImportReport, type Place } from './import-report.ts';
import { createMemoryIntake, type ImportOptions } from './memory-intake.ts';

/** Of each line a few bytes are kept, to find what comes twice. */
const mostLines = 500_000;

/**
 * Takes in what a file tells, a batch a transaction. What each line comes to depends on the file and on what was here
 * before alone: so a dry run says the same, and what is sent again after a broken connection adds nothing twice.
 */
export async function importMemories(
  stream: AsyncIterable<Buffer>,
  importer: MemoryImporter,
  options: ImportOptions,
): Promise<ImportReport> {
  const report = createImportReport();
  const intake = createMemoryIntake(options, report);
  let header: { agentId: string } | undefined;
  let ended = false;
  let tellings = 0;
  /** Since the header: files of several agents may stand behind one another. */
  let told = 0;
  let last = 0;
  /** Once it is known that nothing further can be read rightly. */
  let stopped: DomainError | undefined;
  for await (const thing of importer.read(stream)) {
    const { line: number, at, notes = [] } = thing;
    const said = 'told' in thing.read ? thing.read.told : undefined;
    const place: Place = { line: number, at };
    last = number;
    try {
      if (stopped) throw stopped;
      if (said?.type === 'header') {
        if (header && !ended) report.refuse(place, breaksOff());
        header = said;
        ended = false;
        told = 0;
        if (said.version !== memoryFormatVersion) stopped = otherVersion(said.version);
        if (stopped) throw stopped;
      } else if (said?.type === 'end') {
        ended = true;
        if (said.lines !== told) throw partsMissing(said.lines, told);
      } else {
        tellings += 1;
        told += 1;
        if (tellings > mostLines) throw tooManyLines();
        if ('error' in thing.read) throw thing.read.error;
        const line: TellingLine = said!;
        await intake.take(place, line, options.agentId ?? line.agentId ?? header?.agentId);
        for (const note of notes) report.note(place, note);
      }
    } catch (err) {
      if (!isDomainError(err)) throw err;
      report.refuse(place, err);
    }
  }
  if (header && !ended && !stopped) {
    report.refuse({ line: last + 1 }, breaksOff());
  }
  await intake.end();
  return report.end(importer.lost());
}

function otherVersion(version: number): DomainError {
  return fieldError(
    'version',
    `is ${version}; this Soulfra reads ${memoryFormatVersion}`,
    'Export it from a Soulfra of this version.',
  );
}
function breaksOff(): DomainError {
  return new DomainError('MALFORMED_BODY', 'the file breaks off: its end line is missing');
}
function partsMissing(said: number, came: number): DomainError {
  return new DomainError('MALFORMED_BODY', `the file had ${said} lines when it was made, and has ${came} now`);
}
function tooManyLines(): DomainError {
  return new DomainError('BODY_TOO_LARGE', `an import takes ${mostLines} lines; send the rest in another one`);
}

/** A file of which nothing could be used is refused like a bad body. */
export function refuseIfNothingGood({ added, known, errors }: ImportReport): void {
  const [first] = errors;
  if (first === undefined || added + known > 0) return;
  const fields = errors.map(({ line, at, code, detail, mend }) => ({
    path: at ?? `line ${line}`,
    rule: `${code}: ${detail}`,
    mend,
  }));
  throw new DomainError(first.code, `nothing of it could be used; ${fields[0]!.path}: ${first.detail}`, { fields });
}
