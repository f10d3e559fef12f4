import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * Where an address leads. `private`: into a network of the owner's or to this host, which the owner may allow by name.
 * `refused`: where nothing is ever to be fetched from, such as a cloud's metadata.
 */
export type Reach = 'public' | 'private' | 'refused';

function listOf(ranges: ReadonlyArray<readonly [network: string, prefix: number]>): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of ranges) list.addSubnet(network, prefix, isIPv4(network) ? 'ipv4' : 'ipv6');
  return list;
}

/** IANA IPv4 Special-Purpose Address Registry (RFC 6890), without what is reachable from everywhere. */
const private4 = listOf([
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
]);
const refused4 = listOf([
  ['0.0.0.0', 8],
  // Link-local, with the metadata of most clouds.
  ['169.254.0.0', 16],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
  // Metadata of Alibaba Cloud and of Oracle Cloud, inside ranges that are otherwise private or public.
  ['100.100.100.200', 32],
  ['192.0.0.192', 32],
  // Azure's wire server.
  ['168.63.129.16', 32],
]);

/** All that is global in IPv6 today lies in 2000::/3; of that, what leads elsewhere (RFC 6890 and its registry). */
const global6 = listOf([['2000::', 3]]);
const notGlobal6 = listOf([
  // Teredo, ORCHID, benchmarks and other special uses.
  ['2001::', 23],
  ['2001:db8::', 32],
  // 6to4 holds an IPv4 address.
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3fff::', 20],
]);
const private6 = listOf([
  ['::1', 128],
  ['fc00::', 7],
]);
/** Metadata of AWS, inside the private range. */
const refused6 = listOf([['fd00:ec2::254', 128]]);

/** @param address without brackets; anything that is no address is refused */
export function reachOf(address: string): Reach {
  if (isIPv4(address)) {
    if (refused4.check(address, 'ipv4')) return 'refused';
    return private4.check(address, 'ipv4') ? 'private' : 'public';
  }
  // A zone names an interface of this host.
  if (!isIPv6(address) || address.includes('%')) return 'refused';
  const mapped = mappedAddress(address);
  if (mapped !== undefined) return reachOf(mapped);
  if (refused6.check(address, 'ipv6')) return 'refused';
  if (private6.check(address, 'ipv6')) return 'private';
  return global6.check(address, 'ipv6') && !notGlobal6.check(address, 'ipv6') ? 'public' : 'refused';
}

/** The IPv4 address in an IPv4-mapped one (::ffff:0:0/96), however it is written; NAT64 and 6to4 are refused as they are. */
function mappedAddress(address: string): string | undefined {
  const [, high, low] =
    /^\[::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})\]$/.exec(new URL(`http://[${address}]/`).hostname) ?? [];
  if (high === undefined || low === undefined) return undefined;
  const bits = Number.parseInt(high, 16) * 65_536 + Number.parseInt(low, 16);
  return [24, 16, 8, 0].map((shift) => (bits >>> shift) & 255).join('.');
}
