export const passwordText = {
  title: 'Your password',
  menu: 'Password and sessions',
  next: 'New password',
  nextHint: 'At least 12 characters. Some words that do not belong together are good, and easy to keep.',
  current: 'The one before',
  currentHint: 'Leave it empty if you have none, or signed in within the last 15 minutes.',
  save: 'Set the password',
  saved: 'Your password is set',
  others: 'Sign out everywhere else',
  othersOut: 'Signed out everywhere else',
  ended: (count: number) => (count === 1 ? 'One other session ended.' : `${count} other sessions and links ended.`),
} as const;
