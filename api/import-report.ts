import { z } from 'zod';
import { type DomainError, type ErrorCode, errorTable, type FieldError } from '../domain/errors.ts';
import type { LostField } from '../integrations/importers/importer.ts';

/** Refusals and notes told one by one; further ones are counted. */
const mostTold = 200;

const fieldErrorSchema = z.object({ path: z.string(), rule: z.string(), mend: z.string() });
const place = {
  line: z.int().describe('From 1'),
  at: z.string().optional().describe('Names it where the line does not, such as node_881'),
};

export const importReportSchema = z
  .object({
    added: z.int(),
    known: z.int().describe('Here already, and the same'),
    refused: z.int(),
    errors: z.array(
      z.object({
        ...place,
        code: z.enum(Object.keys(errorTable) as [ErrorCode]),
        detail: z.string(),
        mend: z.string(),
        errors: z.array(fieldErrorSchema).optional(),
      }),
    ),
    errorsLeftOut: z.int(),
    notes: z
      .array(z.object({ ...place, ...fieldErrorSchema.shape }))
      .describe('What was changed so that it could go in'),
    notesLeftOut: z.int(),
    lost: z
      .array(z.object({ field: z.string(), count: z.int(), reason: z.string() }))
      .describe('Fields that have no place here, and in how many things they stood'),
    dryRun: z.literal(true).optional(),
  })
  .meta({ id: 'MemoryImport' });
export type ImportReport = z.output<typeof importReportSchema>;

/** Where in a file something stands. */
export interface Place {
  line: number;
  at?: string | undefined;
}

/** Counts what becomes of each line. */
export function createImportReport() {
  const errors: ImportReport['errors'] = [];
  const notes: ImportReport['notes'] = [];
  const counts = { added: 0, known: 0, refused: 0, errorsLeftOut: 0, notesLeftOut: 0 };
  return {
    counts,
    refuse({ line, at }: Place, { code, message, fields }: DomainError): void {
      counts.refused += 1;
      if (errors.length >= mostTold) {
        counts.errorsLeftOut += 1;
        return;
      }
      errors.push({
        line,
        ...(at === undefined ? {} : { at }),
        code,
        detail: message,
        mend: fields[0]?.mend ?? errorTable[code].mend,
        ...(fields.length > 0 ? { errors: [...fields] } : {}),
      });
    },
    note({ line, at }: Place, field: FieldError): void {
      if (notes.length >= mostTold) counts.notesLeftOut += 1;
      else notes.push({ line, ...(at === undefined ? {} : { at }), ...field });
    },
    end(lost: LostField[]): ImportReport {
      const byPlace = (a: Place, b: Place) => a.line - b.line;
      return { ...counts, errors: errors.sort(byPlace), notes: notes.sort(byPlace), lost };
    },
  };
}
export type ImportReportWriter = ReturnType<typeof createImportReport>;
