const tokensPerMessage = 16;

/**
 * An upper guess of the tokens of a text under the tokenizers in use, without having them: short words count one, longer ones
 * one for four letters, runs that are no word one for two letters, digits and marks one each, other scripts one for two bytes.
 */
export function estimateTokens(text: string): number {
  let tokens = 0;
  for (const [piece] of text.matchAll(/[A-Za-z]+|\s+|[^\sA-Za-z]/gu)) {
    const code = piece.codePointAt(0) ?? 0;
    if (/^[A-Za-z]/.test(piece))
      tokens += piece.length > 12 ? Math.ceil(piece.length / 2) : Math.ceil(piece.length / 4);
    else if (/^\s/.test(piece)) tokens += piece === ' ' ? 0 : Math.ceil(piece.length / 2);
    else tokens += code < 0x80 ? 1 : Math.ceil(utf8Bytes(code) / 2);
  }
  return tokens;
}

export function estimateMessageTokens(messages: ReadonlyArray<{ content: string }>): number {
  return messages.reduce((sum, message) => sum + tokensPerMessage + estimateTokens(message.content), 0);
}

function utf8Bytes(code: number): number {
  if (code < 0x800) return 2;
  return code < 0x1_0000 ? 3 : 4;
}
