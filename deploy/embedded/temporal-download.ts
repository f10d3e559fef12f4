/** Run as `node temporal-download.ts FOLDER VERSION`: lets the SDK fetch the Temporal command line into FOLDER. */
const [folder, version] = process.argv.slice(2);
if (folder === undefined || version === undefined) throw new Error('FOLDER and VERSION are needed');

const { TestWorkflowEnvironment } = await import('@temporalio/testing');
const environment = await TestWorkflowEnvironment.createLocal({
  server: { executable: { type: 'cached-download', downloadDir: folder, version } },
});
await environment.teardown();
