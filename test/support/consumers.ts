/** The package as an app gets it: packed, unpacked into the node_modules of test/consumers, and built by each toolchain. */
import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join, resolve } from 'node:path';
import sirv from 'sirv';
import { modelFiles } from '../../scripts/model-files.mjs';
import { withByteTokens } from './byte-tokens.ts';
import { filesOf, text } from './models.ts';

export const CONSUMERS = resolve('test/consumers');
const OUT = join(CONSUMERS, '.out');

/** Runs to its end; rejects with what it printed. */
export function command(program: string, args: readonly string[], cwd = CONSUMERS): Promise<string> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd, env: { ...process.env, NEXT_TELEMETRY_DISABLED: '1' } });
    let text = '';
    for (const pipe of [child.stdout, child.stderr]) pipe.on('data', (part: Buffer) => (text += part.toString()));
    child.on('error', fail);
    child.on('close', (code) => (code === 0 ? done(text) : fail(new Error(`${program} ${args.join(' ')}\n${text}`))));
  });
}

const node = (code: string): Promise<string> => command(process.execPath, ['--input-type=module', '-e', code]);

/** Installs the toolchains of the lockfile, builds and packs webmoe, and puts it where an app would have it. */
export async function installPackage(): Promise<void> {
  const stamp = join(CONSUMERS, 'node_modules/.package-lock.json');
  const lock = join(CONSUMERS, 'package-lock.json');
  if (!existsSync(stamp) || statSync(stamp).mtimeMs < statSync(lock).mtimeMs)
    await command('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund']);
  rmSync(OUT, { recursive: true, force: true });
  mkdirSync(OUT);
  const root = resolve('.');
  await command('npx', ['--no-install', 'tsdown', '--logLevel', 'error'], root);
  await command('npm', ['pack', '--ignore-scripts', '--pack-destination', OUT], root);
  const { version } = JSON.parse(readFileSync('package.json', 'utf8')) as { readonly version: string };
  const installed = join(CONSUMERS, 'node_modules/webmoe');
  rmSync(installed, { recursive: true, force: true });
  mkdirSync(installed);
  await command('tar', ['-xzf', join(OUT, `webmoe-${version}.tgz`), '-C', installed, '--strip-components=1']);
}

const app = (name: string): string => join(CONSUMERS, 'apps', name);
const html = (head: string, script: string): string =>
  `<!doctype html><html lang="en"><meta charset="utf-8"><title>webmoe</title><link rel="icon" href="data:,">${head}<body>${script}</body></html>`;
const moduleScript = '<script type="module" src="./main.js"></script>';

/** Every bare name that the package's files import. */
const importMap = (at: string): string =>
  JSON.stringify({
    imports: {
      webmoe: `${at}/webmoe/dist/index.js`,
      '@huggingface/jinja': `${at}/@huggingface/jinja/dist/index.js`,
      '@huggingface/tokenizers': `${at}/@huggingface/tokenizers/dist/tokenizers.mjs`,
      fflate: `${at}/fflate/esm/browser.js`,
    },
  });

/** Without the toolchains, which no page would be served. */
function linkPackages(into: string): void {
  for (const name of ['webmoe', '@huggingface', 'fflate'])
    cpSync(join(CONSUMERS, 'node_modules', name), join(into, name), { recursive: true });
}

/** @param packages where the page finds the packages: a path, or another origin */
export function withoutBundler(name: string, packages: string): string {
  const out = join(OUT, name);
  cpSync(app('shared'), join(out, 'shared'), { recursive: true });
  if (packages.startsWith('/')) linkPackages(join(out, packages));
  writeFileSync(join(out, 'main.js'), `import { start } from './shared/app.js';\nvoid start();\n`);
  writeFileSync(
    join(out, 'index.html'),
    html(`<script type="importmap">${importMap(packages)}</script>`, moduleScript),
  );
  return out;
}

export type ViteName = 'vite' | 'vite7';

export async function viteBuild(vite: ViteName): Promise<string> {
  const out = join(OUT, `${vite}-build`);
  await node(
    `import { build } from '${vite}';
     await build({ root: ${JSON.stringify(app('bundled'))}, configFile: false, base: './', logLevel: 'error', build: { outDir: ${JSON.stringify(out)}, target: 'es2022' } });`,
  );
  return out;
}

/** A dev server with the model beside it. */
export function viteDev(vite: ViteName): Promise<{ readonly port: number; close(): void }> {
  const code = `import { createServer } from '${vite}';
    import { modelFiles } from ${JSON.stringify(resolve('scripts/model-files.mjs'))};
    const model = { name: 'model', configureServer: ({ middlewares }) => void middlewares.use('/model', modelFiles(${JSON.stringify(MODEL)})) };
    const server = await createServer({ root: ${JSON.stringify(app('bundled'))}, configFile: false, logLevel: 'error', plugins: [model],
      cacheDir: ${JSON.stringify(join(OUT, `${vite}-cache`))}, server: { port: 0, host: '127.0.0.1', fs: { allow: [${JSON.stringify(CONSUMERS)}] } } });
    await server.listen();
    console.log('port', server.httpServer.address().port);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', code], { cwd: CONSUMERS });
  return new Promise((done, fail) => {
    let text = '';
    const read = (part: Buffer): void => {
      text += part.toString();
      const port = /^port (\d+)$/m.exec(text)?.[1];
      if (port) done({ port: Number(port), close: () => void child.kill() });
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.on('close', () => fail(new Error(text)));
  });
}

export async function webpackBuild(): Promise<string> {
  const out = join(OUT, 'webpack');
  await node(
    `import webpack from 'webpack';
     const stats = await new Promise((done, fail) => webpack({ mode: 'production', entry: ${JSON.stringify(join(app('bundled'), 'main.js'))}, context: ${JSON.stringify(CONSUMERS)},
       performance: false, output: { path: ${JSON.stringify(out)}, filename: 'main.js', publicPath: 'auto' } }, (error, stats) => error ? fail(error) : done(stats)));
     if (stats.hasErrors()) throw new Error(stats.toString());`,
  );
  writeFileSync(join(out, 'index.html'), html('', '<script src="./main.js"></script>'));
  return out;
}

/** esbuild leaves the worker's file behind: the package must find another way. */
export async function esbuildBuild(): Promise<string> {
  const out = join(OUT, 'esbuild');
  await node(
    `import { build } from 'esbuild';
     await build({ entryPoints: [${JSON.stringify(join(app('bundled'), 'main.js'))}], bundle: true, splitting: true, format: 'esm', minify: true, outdir: ${JSON.stringify(out)}, logLevel: 'error' });`,
  );
  writeFileSync(join(out, 'index.html'), html('', moduleScript));
  return out;
}

export async function nextBuild(): Promise<string> {
  const out = join(app('next'), 'out');
  for (const folder of [out, join(app('next'), '.next')]) rmSync(folder, { recursive: true, force: true });
  await command(process.execPath, [join(CONSUMERS, 'node_modules/next/dist/bin/next'), 'build'], app('next'));
  return out;
}

export const MODEL = resolve('test/fixtures/families/olmoe');

const CHAT_TEMPLATE =
  '{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}';

/** The same weights with a tokenizer of bytes and a chat template, in a folder of its own: what it says is noise. */
export function talkingModel(): string {
  const folder = join(OUT, 'talking-model');
  mkdirSync(folder, { recursive: true });
  const files = withByteTokens(filesOf(MODEL), { chat_template: CHAT_TEMPLATE });
  // Every byte is a token: descriptions of tools take hundreds.
  const config = JSON.parse(new TextDecoder().decode(files['config.json'])) as Readonly<Record<string, unknown>>;
  files['config.json'] = text({ ...config, max_position_embeddings: 4096 });
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes);
  return folder;
}

/** A copy beside the installed packages, as after `npm install` in it. */
export function copyExample(name: string): string {
  const out = join(OUT, 'examples', name);
  cpSync(resolve('examples', name), out, { recursive: true });
  return out;
}

/** The one file with the packages in reach of a static server. */
export function pageExample(): string {
  const out = copyExample('minimal-html');
  linkPackages(join(out, 'node_modules'));
  return out;
}

/** Beside it, `copy/` holds the package a second time. */
export function embeddedExample(): string {
  const out = copyExample('embedded-visualiser');
  linkPackages(join(out, 'node_modules'));
  cpSync(join(CONSUMERS, 'node_modules/webmoe'), join(out, 'copy'), { recursive: true });
  return out;
}

export async function viteExample(): Promise<string> {
  const root = copyExample('vite');
  const out = join(root, 'dist');
  await node(
    `import { build } from 'vite';
     await build({ root: ${JSON.stringify(root)}, configFile: false, base: './', logLevel: 'error', build: { outDir: ${JSON.stringify(out)} } });`,
  );
  return out;
}

export async function nextExample(): Promise<string> {
  const root = copyExample('next');
  // A copy has no packages of its own: they lie further up.
  const config = { output: 'export', turbopack: { root: CONSUMERS } };
  writeFileSync(join(root, 'next.config.mjs'), `export default ${JSON.stringify(config)};`);
  await command(process.execPath, [join(CONSUMERS, 'node_modules/next/dist/bin/next'), 'build'], root);
  return join(root, 'out');
}

export interface Hosted {
  readonly port: number;
  close(): void;
}

/** Static files at / and a model at /model/, with `headers`. */
export async function host(
  folder: string,
  headers: Readonly<Record<string, string>> = {},
  weights = MODEL,
): Promise<Hosted> {
  const files = sirv(folder, { dev: true });
  const model = modelFiles(weights);
  const missing = (response: ServerResponse): void => void response.writeHead(404).end();
  const server: Server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    if (!request.url!.startsWith('/model/')) return files(request, response, () => missing(response));
    request.url = request.url!.slice('/model'.length);
    void model(request, response, () => missing(response));
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  return {
    port: (server.address() as AddressInfo).port,
    close: () => {
      server.close();
      server.closeAllConnections();
    },
  };
}
