/** A mail of ours as a person reads it: its words decoded, so that a link in it can be taken over whole. */
export function readableMail(eml: string): string {
  const [head = '', ...rest] = eml.replaceAll('\r\n', '\n').split('\n\n');
  const body = rest.join('\n\n');
  if (!/^content-transfer-encoding: quoted-printable$/im.test(head)) return `${head}\n\n${body}`;
  const words = body
    .replaceAll('=\n', '')
    .replaceAll(/(?:=[0-9A-F]{2})+/g, (bytes) => Buffer.from(bytes.replaceAll('=', ''), 'hex').toString('utf8'));
  return `${head}\n\n${words}`;
}
