import fc from 'fast-check';

/**
 * Properties are tried on the same examples in every run, so that a red suite is the fault of the change under test.
 * `PROPERTY_SEED=random` looks further: what it finds prints the seed that shows it again.
 */
const wanted = process.env['PROPERTY_SEED'] ?? '20261121';
if (wanted !== 'random') fc.configureGlobal({ seed: Number(wanted) });
