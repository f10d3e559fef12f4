const tokensPerMessage = 16;

/**
 * A guess of the tokens of a text that errs upwards, without the model's own tokenizer: a token for three letters of a word, two
 * of a word in capitals or over twelve letters, one of letters in mixed case; for each digit; for two thirds of a run of marks;
 * for two bytes of other scripts and each byte of emoji. test/unit/token-estimate.test.ts holds it against counted texts.
 */
export function estimateTokens(text: string): number {
  let tokens = 0;
  for (const [piece] of text.matchAll(/[A-Za-z]+|\s+|\d+|[\x21-\x7e]+?(?=[A-Za-z\d\s]|[^\x21-\x7e]|$)|[^\s]/gu)) {
    tokens += tokensOfPiece(piece);
  }
  return tokens;
}

export function estimateMessageTokens(messages: ReadonlyArray<{ content: string }>): number {
  return messages.reduce((sum, message) => sum + tokensPerMessage + estimateTokens(message.content), 0);
}

function tokensOfPiece(piece: string): number {
  const code = piece.codePointAt(0) ?? 0;
  if (/^[A-Za-z]/.test(piece)) return Math.ceil(piece.length / lettersPerToken(piece));
  if (/^\s/.test(piece)) return piece === ' ' ? 0 : Math.ceil(piece.length / 2);
  if (/^\d/.test(piece)) return piece.length;
  if (code < 0x80) return Math.ceil(piece.length / 1.5);
  if (code < 0x800) return 1;
  return code < 0x1_0000 ? 2 : 4;
}

function lettersPerToken(word: string): number {
  const tail = word.slice(1);
  if (tail === tail.toLowerCase()) return word.length > 12 ? 2 : 3;
  return word === word.toUpperCase() ? 2 : 1;
}
