/** Lines of YAML whose aliases unfold to 10^12 values. */
export const yamlBomb: readonly string[] = Array.from(
  { length: 12 },
  (_, i) =>
    `l${i}: &l${i} [${Array(10)
      .fill(i === 0 ? 'x' : `*l${i - 1}`)
      .join(', ')}]`,
);

/** The same by merge keys. */
export const yamlMerges: readonly string[] = Array.from(
  { length: 12 },
  (_, i) => `m${i}: &m${i} { ${i === 0 ? 'x: 1' : `a: *m${i - 1}, b: *m${i - 1}, c: *m${i - 1}, d: *m${i - 1}`} }`,
);
