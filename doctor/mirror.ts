import { verifyMirrorFolder } from '../integrations/mirror/folder.ts';

/** What a copy of the public mirror holds against its manifest; works with everything down, and for whoever has a copy. */
export const readMirror = (folder: string) => verifyMirrorFolder(folder);
