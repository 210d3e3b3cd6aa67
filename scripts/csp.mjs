// The page's Content-Security-Policy: sent by serve.mjs, and in demo/index.html for servers that send none.

const DIRECTIVES = {
  'default-src': "'none'",
  'script-src': "'self'",
  // blob: for the engine's inline worker, which starts where its file is on another origin.
  'worker-src': "'self' blob:",
  // A model may come from any https server, and answers from a server that the visitor names, on this computer too.
  'connect-src': "'self' https: http://localhost:* http://127.0.0.1:*",
  'style-src': "'self'",
  'img-src': "'self' data: blob:",
  'font-src': "'self'",
  'manifest-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
  'require-trusted-types-for': "'script'",
  // `webmoe` makes addresses of workers (src/weights/records/start-worker.ts), `lit-html` the fixed templates of the visualiser; nothing else makes HTML or scripts.
  'trusted-types': "webmoe lit-html 'allow-duplicates'",
};

/** A meta element cannot say who may frame the page. */
const HEADER_ONLY = ['frame-ancestors'];

const join = (entries) => entries.map(([name, value]) => `${name} ${value}`).join('; ');

export const headerPolicy = join(Object.entries(DIRECTIVES));
export const metaPolicy = join(Object.entries(DIRECTIVES).filter(([name]) => !HEADER_ONLY.includes(name)));
