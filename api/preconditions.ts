import { createHash } from 'node:crypto';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { DomainError } from '../domain/errors.ts';
import { fieldError } from '../domain/field-errors.ts';

/** The version of a row as the header `ETag` tells it and `If-Match` asks for it (RFC 9110). */
export const ifMatchHeaders = z.looseObject({
  'if-match': z.string().max(100).optional().describe('`ETag` of what the change is made of'),
});

export function sendETag(reply: FastifyReply, version: number): void {
  void reply.header('etag', `"${version}"`);
}

/**
 * @returns undefined for `*`, and where the header is missing and may be
 * @throws PRECONDITION_REQUIRED · INVALID_INPUT for what is no ETag of ours
 */
export function matchedVersion(request: FastifyRequest, required: boolean): number | undefined {
  const header = request.headers['if-match'];
  if (header === undefined) {
    if (!required) return undefined;
    throw new DomainError('PRECONDITION_REQUIRED', 'this change needs the header If-Match');
  }
  if (header.trim() === '*') return undefined;
  const version = /^"(\d{1,9})"$/.exec(header.trim())?.[1];
  if (version === undefined)
    throw fieldError('headers.if-match', 'must be an ETag', 'Send the `ETag` of the answer that you have read.');
  return Number(version);
}

/** The `ETag` of what has no version of its own. */
export function contentETag(content: string): string {
  return `"${createHash('sha256').update(content).digest('hex').slice(0, 32)}"`;
}
