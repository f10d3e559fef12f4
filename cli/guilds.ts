export function guildPath(id: string, below?: string): string {
  return `/guilds/${encodeURIComponent(id)}${below === undefined ? '' : `/${below}`}`;
}
