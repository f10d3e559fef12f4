/** Run as `node redis-compile.ts FOLDER`: lets npm redis-memory-server bring `redis-server` into FOLDER. */
import { RedisBinary } from 'redis-memory-server';

const folder = process.argv[2];
if (folder === undefined) throw new Error('FOLDER is needed');
await RedisBinary.getPath({ downloadDir: folder });
