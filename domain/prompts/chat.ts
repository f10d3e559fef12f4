export interface ChatMessage {
  role: 'system' | 'user' | 'assistant';
  content: string;
}

/**
 * A value as JSON on one line that stays data whatever its texts say. Inside its strings are written as escapes: marks
 * that open or close a tag, a fence or a control token of any chat template (model servers read `<|im_end|>` and `[INST]`
 * in a text as the token itself), and what is there but cannot be seen: controls, direction marks, tags, zero widths.
 */
export function asData(value: unknown): string {
  return JSON.stringify(value).replace(/"(?:[^"\\]|\\.)*"/gu, (text) => text.replace(unsafe, escaped));
}

/** Written out, not by Unicode class: a newer Unicode must not change what an old prompt was. */
const unsafe =
  /[<>[\]`\u{7f}-\u{9f}\u{ad}\u{61c}\u{115f}\u{1160}\u{200b}-\u{200f}\u{2028}-\u{202e}\u{2060}-\u{206f}\u{3164}\u{e000}-\u{f8ff}\u{feff}\u{ffa0}\u{fff0}-\u{ffff}\u{e0000}-\u{10ffff}]|\u{34f}|\u{17b4}|\u{17b5}|[\u{180b}-\u{180f}]|[\u{fe00}-\u{fe0f}]/gu;

function escaped(mark: string): string {
  return Array.from({ length: mark.length }, (_, i) => `\\u${mark.charCodeAt(i).toString(16).padStart(4, '0')}`).join(
    '',
  );
}
