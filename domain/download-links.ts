import { idOf } from './ids.ts';

/** A link that was given away ends by itself; whoever may still download asks for another. */
export const downloadSeconds = 15 * 60;

/** Named first in what is signed, so that a link is never taken for a license file or a list. */
export const downloadForm = 'SDL1';

export interface DownloadLink {
  licenseId: string;
  /** Transfers of the license so far: who has passed it on downloads no more. */
  holding: number;
  /** Whole seconds since 1970. */
  expiresAt: number;
}

/** What is signed: short, since it stands in an address. */
export function linkContent({ licenseId, holding, expiresAt }: DownloadLink): string {
  return [licenseId.slice('lic_'.length).replaceAll('-', ''), holding, expiresAt].join('.');
}

/** @returns undefined for what is no link */
export function readLink(token: string): { link: DownloadLink; content: string; signature: string } | undefined {
  const parts = /^((?<id>[0-9a-f]{32})\.(?<holding>0|[1-9]\d{0,8})\.(?<end>[1-9]\d{9,11}))\.(?<mark>[\w-]{86})$/.exec(
    token,
  );
  if (!parts?.groups) return undefined;
  const { id, holding, end, mark } = parts.groups as Record<'id' | 'holding' | 'end' | 'mark', string>;
  const uuid = [id.slice(0, 8), id.slice(8, 12), id.slice(12, 16), id.slice(16, 20), id.slice(20)].join('-');
  const link = { licenseId: idOf('license', uuid), holding: Number(holding), expiresAt: Number(end) };
  return { link, content: parts[1]!, signature: mark };
}
