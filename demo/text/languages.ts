/** What languages are called, and how their files end. */

const LANGUAGES: Readonly<Record<string, readonly [name: string, extension: string]>> = {
  js: ['JavaScript', 'js'],
  javascript: ['JavaScript', 'js'],
  jsx: ['JavaScript', 'jsx'],
  ts: ['TypeScript', 'ts'],
  typescript: ['TypeScript', 'ts'],
  tsx: ['TypeScript', 'tsx'],
  py: ['Python', 'py'],
  python: ['Python', 'py'],
  sh: ['Shell', 'sh'],
  bash: ['Shell', 'sh'],
  shell: ['Shell', 'sh'],
  json: ['JSON', 'json'],
  html: ['HTML', 'html'],
  xml: ['XML', 'xml'],
  css: ['CSS', 'css'],
  rust: ['Rust', 'rs'],
  rs: ['Rust', 'rs'],
  go: ['Go', 'go'],
  java: ['Java', 'java'],
  c: ['C', 'c'],
  cpp: ['C++', 'cpp'],
  'c++': ['C++', 'cpp'],
  sql: ['SQL', 'sql'],
  yaml: ['YAML', 'yaml'],
  yml: ['YAML', 'yaml'],
  md: ['Markdown', 'md'],
  markdown: ['Markdown', 'md'],
};

const entry = (id: string): readonly [string, string] | undefined =>
  Object.hasOwn(LANGUAGES, id) ? LANGUAGES[id] : undefined;

const MAX_LABEL = 24;

export const languageName = (id: string): string => entry(id)?.[0] ?? (id.slice(0, MAX_LABEL) || 'Code');

/** `txt` unless the language is known: the name of a file is not for a model to choose. */
export const extensionOf = (id: string): string => entry(id)?.[1] ?? 'txt';
