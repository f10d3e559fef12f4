import type { FastifyReply, FastifyRequest } from 'fastify';
import { sessionSeconds } from '../stores/principals.ts';
import { sessionCookie } from './plugins/roles.ts';

/** Signs a browser in. */
export function setSession(request: FastifyRequest, reply: FastifyReply, secret: string): void {
  void reply.setCookie(sessionCookie, secret, {
    path: '/',
    httpOnly: true,
    sameSite: 'strict',
    secure: request.protocol === 'https',
    maxAge: sessionSeconds,
  });
}
