import { expect, test } from 'vitest';
import { callerNetwork } from '../../domain/caller-networks.ts';

test('an IPv4 address is one caller, also where it is written as IPv6; of IPv6 the /64 is', () => {
  expect(
    ['192.0.2.7', '::ffff:192.0.2.7', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::1', '2001:0db8:0001:0002::9'].map(
      callerNetwork,
    ),
  ).toEqual(['192.0.2.7', '192.0.2.7', '2001:db8:1:2::/64', '2001:db8:1:2::/64', '2001:db8:1:2::/64']);
  expect(['::1', 'fe80::1%eth0', '2001:db8::', '64:ff9b::192.0.2.7', '2001:db8:1:3::1'].map(callerNetwork)).toEqual([
    '0:0:0:0::/64',
    'fe80:0:0:0::/64',
    '2001:db8:0:0::/64',
    '64:ff9b:0:0::/64',
    '2001:db8:1:3::/64',
  ]);
});
