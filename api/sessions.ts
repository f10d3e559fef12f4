import type { FastifyReply, FastifyRequest } from 'fastify';
import { DomainError } from '../domain/errors.ts';
import { covers } from '../domain/roles.ts';
import { type Principal, type PrincipalStore, sessionSeconds } from '../stores/principals.ts';
import { sessionCookieOf } from './plugins/roles.ts';

/** Signs a browser in. */
export function setSession(request: FastifyRequest, reply: FastifyReply, secret: string): void {
  void reply.setCookie(sessionCookieOf(request), secret, {
    path: '/',
    httpOnly: true,
    sameSite: 'strict',
    secure: request.protocol === 'https',
    maxAge: sessionSeconds,
  });
}

/** The browser forgets its session. Without Secure it would not obey for a cookie of this host alone. */
export function endSession(request: FastifyRequest, reply: FastifyReply): FastifyReply {
  return reply.clearCookie(sessionCookieOf(request), { path: '/', secure: request.protocol === 'https' });
}

/**
 * Whether a token or session stands for all of its user: one of a lesser role than theirs, or with scopes, was made for a program or for
 * somebody else, and stands for itself alone. @throws NOT_FOUND where the user is gone
 */
export async function isWhole({ ownerId, role, scopes }: Principal, principals: PrincipalStore): Promise<boolean> {
  const user = await principals.user(ownerId);
  if (!user) throw new DomainError('NOT_FOUND', 'the user of this token is gone');
  return scopes === undefined && covers(role, user.role);
}
