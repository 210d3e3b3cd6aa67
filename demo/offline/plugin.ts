/** For Vite's builds: the page's manifest, and a service worker that knows all of its files. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build, type HtmlTagDescriptor, type Plugin, type Rolldown } from 'vite';
import type { Shell, ShellFile } from './shell-cache.ts';

export const SERVICE_WORKER = 'service-worker.js';
const MANIFEST = 'manifest.webmanifest';
const PAGE = 'index.html';
const here = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

type Content = string | Uint8Array;

const icon = (src: string, purpose: string): object => ({ src, sizes: 'any', type: 'image/svg+xml', purpose });
/** For home screens that take no SVG: `node scripts/icons.mjs`. */
const pixels = (size: number): object => ({
  src: `./icon-${size}.png`,
  sizes: `${size}x${size}`,
  type: 'image/png',
  purpose: 'any maskable',
});
const PIXELS = [180, 192, 512] as const;
const TOUCH_ICON = `icon-${PIXELS[0]}.png`;
/** Addresses are relative to it, so that the page works in any folder. */
const manifest = {
  name: 'webmoe: chat in this browser',
  short_name: 'webmoe',
  description: 'Chat with a Mixture-of-Experts language model that runs on your own graphics card.',
  start_url: './',
  scope: './',
  display: 'standalone',
  background_color: '#faf9f7',
  theme_color: '#faf9f7',
  icons: [icon('./icon.svg', 'any'), icon('./icon-maskable.svg', 'maskable'), ...PIXELS.map(pixels)],
};

const ownFiles = (): Record<string, Content> => ({
  [MANIFEST]: JSON.stringify(manifest, null, 2),
  'icon.svg': readFileSync(here('../icon.svg'), 'utf8'),
  'icon-maskable.svg': readFileSync(here('./icon-maskable.svg'), 'utf8'),
  ...Object.fromEntries(PIXELS.map((size) => [`icon-${size}.png`, readFileSync(here(`./icon-${size}.png`))])),
});

const contentOf = (file: Rolldown.OutputChunk | Rolldown.OutputAsset): Content =>
  file.type === 'chunk' ? file.code : file.source;
const sha = (content: Content, kind: 'sha256' | 'sha384', form: 'hex' | 'base64'): string =>
  createHash(kind).update(content).digest(form);

/** Of names and contents, in order of names. */
export function versionOf(files: ReadonlyMap<string, Content>): string {
  const lines = [...files].map(([name, content]) => `${name} ${sha(content, 'sha256', 'hex')}\n`);
  return sha(lines.sort().join(''), 'sha256', 'hex').slice(0, 16);
}

export function shellOf(files: ReadonlyMap<string, Content>, version: string): Shell {
  const list = [...files].map(([name, content]): ShellFile => {
    // A page goes by its folder's address.
    const url = `./${name.replace(/(^|\/)index\.html$/, '$1')}`;
    return { url, integrity: `sha384-${sha(content, 'sha384', 'base64')}` };
  });
  return { version, files: list };
}

/** The page, with the name of its build. */
export const marked = (page: string, version: string): string =>
  page.replace('</title>', `</title>\n    <meta name="webmoe-shell" content="${version}" />`);

/** In one file without imports: module service workers are younger than WebGPU. */
async function bundled(shell: Shell): Promise<string> {
  const [result] = (await build({
    configFile: false,
    logLevel: 'warn',
    define: { SHELL: JSON.stringify(shell) },
    build: {
      write: false,
      target: 'es2022',
      lib: { entry: here('./service-worker.ts'), formats: ['iife'], name: 'webmoe', fileName: () => SERVICE_WORKER },
    },
  })) as Rolldown.RolldownOutput[];
  return result!.output[0].code;
}

/** Traces are fetched when somebody opens them, but for the first, with which the routing page begins. */
const isData = (name: string): boolean => /\.npz$/.test(name) && !name.includes('smolmoe-first');

export const offlineShell: Plugin = {
  name: 'webmoe-offline-shell',
  apply: 'build',
  enforce: 'post',
  transformIndexHtml: {
    order: 'post',
    handler: (_html, { path }) => {
      const up = '../'.repeat(path.split('/').length - 2) || './';
      const link = (rel: string, file: string): HtmlTagDescriptor => ({
        tag: 'link',
        attrs: { rel, href: up + file },
        injectTo: 'head',
      });
      return [link('manifest', MANIFEST), link('apple-touch-icon', TOUCH_ICON)];
    },
  },
  generateBundle: {
    order: 'post',
    async handler(_options, bundle) {
      const page = bundle[PAGE];
      if (page?.type !== 'asset') this.error(`the build has no ${PAGE}`);
      const own = Object.values(bundle).filter(({ fileName }) => !isData(fileName));
      const files = new Map(own.map((file) => [file.fileName, contentOf(file)]));
      for (const [fileName, source] of Object.entries(ownFiles())) {
        this.emitFile({ type: 'asset', fileName, source });
        files.set(fileName, source);
      }
      const version = versionOf(files);
      page.source = marked(String(page.source), version);
      files.set(PAGE, page.source);
      this.emitFile({ type: 'asset', fileName: SERVICE_WORKER, source: await bundled(shellOf(files, version)) });
    },
  },
};
