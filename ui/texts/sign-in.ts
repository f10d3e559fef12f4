export const signInText = {
  title: 'Sign in',
  address: 'Mail address',
  password: 'Password',
  fresh:
    'New here, or without a password? With your address alone, a link is mailed: it signs you in, or up where new people are welcome.',
  mailLink: 'Mail me a link instead',
  mailed: 'If the address may sign in here, a link is on its way. By it you can set another password, too.',
  once: 'This link signs you in once.',
  button: 'Sign in',
  out: 'Or open the link that was mailed to you, or that npm start printed. A link works once, within 15 minutes.',
  run: 'If you run this installation:',
} as const;
