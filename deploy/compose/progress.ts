/** A line of JSON on stdout, for whoever started the program. */
export const progress = (text: string) =>
  void process.stdout.write(`${JSON.stringify({ progress: text, share: null })}\n`);
