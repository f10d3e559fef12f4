/** The mail server that SMTP_URL names. */
export interface SmtpSettings {
  host: string;
  port: number;
  /** TLS from the first byte; else it is begun by STARTTLS. */
  secure: boolean;
  /** False: no TLS at all. */
  tls: boolean;
  user?: string;
  password?: string;
}

const loopback = /^(localhost|127\.\d+\.\d+\.\d+|\[?::1\]?)$/;

/**
 * `smtp://user:password@host:587` (TLS by STARTTLS, which must be there) or `smtps://…:465`. Without TLS only to this host, or where
 * `?tls=none` says so: sign-in links travel in it.
 * @returns undefined for what is none
 */
export function smtpSettingsOf(text: string): SmtpSettings | undefined {
  const url = URL.parse(text);
  if (url === null || !['smtp:', 'smtps:'].includes(url.protocol) || url.hostname === '') return undefined;
  if (!['', '/'].includes(url.pathname) || url.hash !== '' || !['', '?tls=none'].includes(url.search)) return undefined;
  const secure = url.protocol === 'smtps:';
  try {
    return {
      host: url.hostname.replace(/^\[|\]$/g, ''),
      port: url.port === '' ? (secure ? 465 : 587) : Number(url.port),
      secure,
      tls: secure || (url.search === '' && !loopback.test(url.hostname)),
      ...(url.username === ''
        ? {}
        : { user: decodeURIComponent(url.username), password: decodeURIComponent(url.password) }),
    };
  } catch {
    // Not percent-encoded as it must be; what stands there is a password and is told to nobody.
    return undefined;
  }
}
