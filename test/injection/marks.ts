/** Marks of chat templates, fences, and what a reader cannot see; our own frames hold none but their tags. */
export const dangerous =
  /<\||\|>|\[\/?INST\]|<<|<\/?s>|<(?:start|end)_of|<｜|```|(?!\n)\p{Cc}|[\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e007f}]/u;

/** What may not be stored of a model's words; a text of several lines may have line feeds and tabs. */
export const invisible =
  /(?![\n\t])\p{Cc}|[\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\u{e0000}-\u{e0fff}]/u;
