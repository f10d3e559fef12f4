import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

/** Built by deploy/embedded/ui.ts, which names the folder; served by api/plugins/ui.ts. */
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  oxc: { jsx: { runtime: 'automatic' } },
  build: {
    outDir: '../dist/ui',
    emptyOutDir: true,
    target: 'es2023',
    // Nothing inline: the pages' policy lets run and shows only what comes as a file.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    // All that a first view needs is one file: many small ones compress worse, and each has its own head.
    rolldownOptions: { output: { codeSplitting: { groups: [{ name: 'first', tags: ['$initial'] }] } } },
    license: { fileName: 'assets/licenses.md' },
  },
});
