// Prints what a built page's own parts weigh, gzipped, without the engine. Alone: node scripts/page-size.mjs [visualiser/index.html]; ends with 1 when the shell is too heavy.
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'vite';
import { root } from './setup.mjs';

/** Bytes, gzipped: what a visitor waits for before the page can be used, beside the engine. */
export const SHELL_BUDGET = 60_000;

const ENGINE = ['index.ts', 'worker.ts'].map((name) => resolve(root, 'src', name));

const gzipped = (content) => gzipSync(content, { level: 9 }).length;

/** What a page needs at once: its script, and what that imports statically; style sheets of these; itself. */
function atOnce(chunks, page) {
  const needed = new Set([page]);
  const visit = (name) => {
    const chunk = chunks.get(name);
    if (!chunk || needed.has(name)) return;
    needed.add(name);
    chunk.imports.forEach(visit);
    chunk.viteMetadata?.importedCss.forEach((sheet) => needed.add(sheet));
  };
  for (const [name, chunk] of chunks) if (chunk.facadeModuleId === resolve(root, 'demo', page)) visit(name);
  return needed;
}

/**
 * Builds the pages with the engine left out.
 * @param page the one that is asked about, below demo/
 * @returns for each file its name, bytes gzipped, and whether it is loaded at once
 */
export async function pageSizes(page = 'index.html') {
  const { output } = await build({
    root: resolve(root, 'demo'),
    configFile: resolve(root, 'demo/vite.config.ts'),
    logLevel: 'warn',
    build: {
      write: false,
      rolldownOptions: { external: (id, importer) => !!importer && ENGINE.includes(resolve(importer, '..', id)) },
    },
  });
  const chunks = new Map(output.filter(({ type }) => type === 'chunk').map((chunk) => [chunk.fileName, chunk]));
  const needed = atOnce(chunks, page);
  return output
    .filter(({ fileName }) => /\.(js|css|html)$/.test(fileName))
    .map((file) => ({
      name: file.fileName.replace(/-[\w-]{8}\./, '.'),
      bytes: gzipped(file.type === 'chunk' ? file.code : file.source),
      isShell: needed.has(file.fileName),
    }));
}

export const shellBytes = (files) => files.reduce((sum, { isShell, bytes }) => sum + (isShell ? bytes : 0), 0);

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const files = await pageSizes(process.argv[2]);
  for (const { name, bytes, isShell } of files)
    console.log(`${(bytes / 1000).toFixed(1).padStart(7)} kB  ${isShell ? 'at once' : 'later  '}  ${name}`);
  const total = shellBytes(files);
  console.log(`shell ${(total / 1000).toFixed(1)} kB gzipped, of at most ${SHELL_BUDGET / 1000} kB`);
  if (total > SHELL_BUDGET) process.exitCode = 1;
}
