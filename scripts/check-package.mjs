// npm run check:package: builds the package and holds what would be published to its promises; prints every figure. --update rewrites the API report.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { ensurePackages, root } from './setup.mjs';

/** Everything that a package may hold. */
const ALLOWED = [/^package\.json$/, /^README\.md$/, /^LICENSE$/, /^bin\/webmoe\.mjs$/, /^dist\/[\w.-]+\.(js|d\.ts)$/];
const MOST_IMPORT_MS = 100;
const REPORTS = 'docs/api';
const cache = join(root, 'node_modules/.cache/webmoe');

const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const entries = Object.entries(manifest.exports).filter(([, target]) => target.types);

/** @returns the command's output @throws with it when it failed */
function output(command, args, options = {}) {
  const done = spawnSync(command, args, { cwd: root, encoding: 'utf8', ...options });
  if (done.status !== 0) throw new Error(`${command} ${args.join(' ')}\n${done.stdout}${done.stderr}`);
  return done.stdout;
}

const npx = (...args) => output('npx', ['--no-install', ...args]);

function files() {
  const [{ files: packed, size, unpackedSize }] = JSON.parse(
    output('npm', ['pack', '--dry-run', '--json', '--ignore-scripts']),
  );
  const foreign = packed.map(({ path }) => path).filter((path) => !ALLOWED.some((allowed) => allowed.test(path)));
  if (foreign.length) throw new Error(`would be published, but is not on the list: ${foreign.join(', ')}`);
  const wanted = entries.flatMap(([, { types, default: code }]) => [types, code]).map((path) => path.replace('./', ''));
  const missing = wanted.filter((path) => !packed.some((file) => file.path === path));
  if (missing.length) throw new Error(`package.json exports what is not packed: ${missing.join(', ')}`);
  return `${packed.length} files, ${(size / 1000).toFixed(0)} kB packed, ${(unpackedSize / 1000).toFixed(0)} kB unpacked`;
}

function scripts() {
  const hooks = ['preinstall', 'install', 'postinstall', 'prepare'].filter((name) => manifest.scripts[name]);
  if (hooks.length) throw new Error(`package.json has install scripts: ${hooks.join(', ')}`);
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const used = Object.entries(packages).filter(([path, { dev, peer }]) => path && !dev && !peer);
  const scripted = used.filter(([, { hasInstallScript }]) => hasInstallScript).map(([path]) => path);
  if (scripted.length) throw new Error(`dependencies run install scripts: ${scripted.join(', ')}`);
  return `${used.length} dependencies, none runs a script`;
}

const publint = () => `publint: ${npx('publint', '--strict').trim().split('\n').at(-1)}`;

/** The profile leaves out CommonJS, which the package does not serve; a problem ends the command with an error. */
function types() {
  npx('attw', '--pack', '.', '--profile', 'esm-only', '--format', 'json');
  return 'arethetypeswrong: no problem (ESM in Node and in bundlers)';
}

/** In Node, where none of a browser's globals is. */
function imports() {
  const file = pathToFileURL(join(root, 'dist/index.js'));
  const code = `const before = performance.now(); await import(${JSON.stringify(file.href)}); console.log(performance.now() - before);`;
  const times = Array.from({ length: 5 }, () => Number(output(process.execPath, ['--input-type=module', '-e', code])));
  const best = Math.min(...times);
  if (best > MOST_IMPORT_MS)
    throw new Error(`import('webmoe') takes ${best.toFixed(0)} ms, more than ${MOST_IMPORT_MS}`);
  return `import('webmoe') in Node: ${best.toFixed(0)} ms (best of 5)`;
}

/** A page that is rendered on a server imports its elements there. */
function importsElements() {
  const file = pathToFileURL(join(root, 'dist/viz.js'));
  const code = `await import(${JSON.stringify(file.href)});
    console.log(['customElements', 'HTMLElement', 'document', 'window'].filter((name) => name in globalThis).join());`;
  const globals = output(process.execPath, ['--input-type=module', '-e', code]).trim();
  if (globals) throw new Error(`import('webmoe/viz') in Node plays a browser: ${globals}`);
  return "import('webmoe/viz') in Node: registers nothing";
}

/** What is only loaded when needed counts for itself. */
const onlyStatic = {
  name: 'only-static',
  enforce: 'pre',
  resolveDynamicImport: (id) => ({ id: String(id), external: true }),
};

/**
 * As a bundler leaves each entry in an app: minified, in one file with all that it imports statically.
 * Built as an app: Vite's library mode leaves spaces in, a tenth of the gzipped size.
 */
async function minified(into) {
  const { build } = await import('vite');
  for (const [path, target] of entries) {
    if (path === './node') continue;
    await build({
      configFile: false,
      logLevel: 'error',
      root,
      plugins: [onlyStatic],
      build: {
        outDir: join(into, path === '.' ? 'index' : path.slice(2)),
        target: 'es2022',
        modulePreload: false,
        rolldownOptions: {
          input: join(root, target.default),
          external: [/^node:/],
          preserveEntrySignatures: 'strict',
          output: { entryFileNames: 'entry.js' },
        },
      },
    });
  }
}

async function sizes() {
  await minified(join(cache, 'size'));
  const lines = JSON.parse(npx('size-limit', '--json'));
  const over = lines.filter(({ passed }) => passed === false);
  const text = lines.map(({ name, size }) => `${name} ${(size / 1000).toFixed(1)} kB`).join(', ');
  if (over.length) throw new Error(`over its limit in .size-limit.json: ${text}`);
  return `gzip: ${text}`;
}

/** The public surface as text, so that a change of it shows in a diff. */
function surface(update) {
  const scratch = mkdtempSync(join(cache, 'api-')); // api-extractor looks for package.json above it
  try {
    const changed = entries.flatMap(([path, { types: entry }]) => {
      const name = path === '.' ? 'webmoe' : `webmoe-${path.slice(2)}`;
      const settings = apiSettings(name, entry, scratch);
      output('npx', ['--no-install', 'api-extractor', 'run', '--local', '--config', settings]);
      const fresh = join(scratch, `${name}.api.md`);
      const kept = join(root, REPORTS, `${name}.api.md`);
      if (existsSync(kept) && readFileSync(kept, 'utf8') === readFileSync(fresh, 'utf8')) return [];
      if (update) copyFileSync(fresh, kept);
      return update ? [] : [basename(kept)];
    });
    if (changed.length)
      throw new Error(`the public surface changed: ${changed.join(', ')}. Look at it, then run npm run api`);
    return `API reports: ${entries.length}, as committed`;
  } finally {
    rmSync(scratch, { recursive: true });
  }
}

function apiSettings(name, entry, scratch) {
  const tsconfig = {
    compilerOptions: {
      target: 'es2022',
      module: 'nodenext',
      moduleResolution: 'nodenext',
      lib: ['es2023', 'dom', 'esnext.disposable'],
      types: ['@webgpu/types', 'node'],
      skipLibCheck: true,
      strict: true,
    },
    files: [join(root, entry)],
  };
  const settings = {
    projectFolder: root,
    mainEntryPointFilePath: join(root, entry),
    compiler: { overrideTsconfig: tsconfig },
    apiReport: {
      enabled: true,
      reportFileName: `${name}.api.md`,
      reportFolder: scratch,
      reportTempFolder: join(scratch, 'temp'),
      includeForgottenExports: true,
    },
    docModel: { enabled: false },
    dtsRollup: { enabled: false },
    tsdocMetadata: { enabled: false },
    messages: {
      compilerMessageReporting: { default: { logLevel: 'none' } },
      extractorMessageReporting: { default: { logLevel: 'none' } },
      tsdocMessageReporting: { default: { logLevel: 'none' } },
    },
  };
  const path = join(scratch, `${name}.json`);
  writeFileSync(path, JSON.stringify(settings));
  return path;
}

/** One line a promise; an error's message where it does not hold. */
export async function checkPackage({ update = false } = {}) {
  for (const folder of [join(root, REPORTS), cache]) mkdirSync(folder, { recursive: true });
  output(process.execPath, ['scripts/wgsl.mjs']);
  npx('tsdown', '--logLevel', 'error');
  const results = [];
  for (const check of [files, scripts, publint, types, imports, importsElements, sizes, () => surface(update)]) {
    try {
      results.push({ ok: true, text: await check() });
    } catch (error) {
      results.push({ ok: false, text: error.message });
    }
  }
  return results;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  ensurePackages();
  const results = await checkPackage({ update: process.argv.includes('--update') });
  for (const { ok, text } of results) console.log(`${ok ? 'ok    ' : 'FAILED'} ${text}`);
  if (results.some(({ ok }) => !ok)) process.exitCode = 1;
}
