/**
 * WGSL with four additions, expanded before compilation:
 *   `#import name`                 the text of shaders/name.wgsl, once; `name` may be an alias such as `weight_format`
 *   `#import name as p_`           the same a second time for other constants: what it declares, and its constants, begin with p_; so does what the
 *                                  importer declares for it under such a name
 *   `#if FLAG` `#else` `#endif`    by a boolean constant; they nest
 *   `override NAME: type;`         without a default: a constant that the caller must give
 * Lines `enable name;` of any file go to the top, where WGSL wants them.
 * A missing, unknown or unused constant, import or directive is an error, so that a typo cannot pass.
 */
import { InvariantError } from '../util/assert.ts';

export type Constants = Readonly<Record<string, number | boolean>>;
export type Imports = Readonly<Record<string, string>>;

export type BindingKind = 'read' | 'read_write' | 'uniform';
export interface ShaderBinding {
  readonly group: number;
  readonly binding: number;
  readonly kind: BindingKind;
  readonly name: string;
}

export interface ExpandedShader {
  readonly path: string;
  readonly code: string;
  /** For each line of `code`, where it came from. */
  readonly origin: readonly { readonly file: string; readonly line: number }[];
  readonly bindings: readonly ShaderBinding[];
}

const DIRECTIVE = /^\s*#(\w+)\s*(.*?)\s*$/;
const OVERRIDE = /^\s*override\s+(\w+)\s*:\s*(u32|i32|f32)\s*;/;
const ENABLE = /^enable\s+\w+;$/;
const BINDING =
  /@group\((\d+)\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read_write|read))?\s*>\s*(\w+)\s*:/;

/** What a line declares at the top level. */
const DECLARED = /^(?:override|const|alias|struct|fn)\s+(\w+)|^(?:@group.*)?var\s*<[^>]*>\s*(\w+)/;
/** A name, but no member. */
const NAME = /(?<![.\w])[A-Za-z_]\w*/g;

interface Line {
  readonly text: string;
  readonly file: string;
  readonly line: number;
  /** Of the `#import name as p_` around it. */
  readonly prefix: string;
}

const declaredIn = (lines: readonly Line[]): Set<string> =>
  new Set(lines.flatMap(({ text }) => DECLARED.exec(text)?.slice(1).filter(Boolean) ?? []));

/** Names of lines with a prefix: their own, and those that the others declare with the prefix for them. */
function renamed(lines: readonly Line[]): string[] {
  const others = declaredIn(lines.filter(({ prefix }) => prefix === ''));
  const own = new Map<string, Set<string>>();
  const ownOf = (p: string): Set<string> => {
    const found = own.get(p) ?? declaredIn(lines.filter(({ prefix }) => prefix === p));
    own.set(p, found);
    return found;
  };
  return lines.map(({ text, prefix: p }) =>
    p === '' ? text : text.replace(NAME, (name) => (ownOf(p).has(name) || others.has(p + name) ? p + name : name)),
  );
}

const literal = (value: number, type: string): string => {
  if (type !== 'f32') return type === 'u32' ? `${value}u` : `${value}i`;
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
};

/** @param sources shader texts by path */
export function expandShader(
  path: string,
  constants: Constants,
  imports: Imports,
  sources: Readonly<Record<string, string>>,
): ExpandedShader {
  const lines: Line[] = [];
  const imported = new Set<string>();
  const used = new Set<string>();
  const fail = (file: string, line: number, what: string): never => {
    throw new InvariantError(`shaders/${file}.wgsl:${line}: ${what} (while expanding ${path})`);
  };

  const flag = (name: string, file: string, line: number): boolean => {
    const value = constants[name];
    if (typeof value !== 'boolean')
      return fail(file, line, `#if ${name} needs a boolean constant, got ${String(value)}`);
    used.add(name);
    return value;
  };

  const expand = (file: string, prefix: string): void => {
    const text = sources[file];
    if (text === undefined) throw new InvariantError(`no shader shaders/${file}.wgsl (while expanding ${path})`);
    const open: boolean[] = []; // for each #if around this line: is the current branch taken?
    text.split('\n').forEach((raw, i) => {
      const n = i + 1;
      const directive = DIRECTIVE.exec(raw);
      const live = open.every(Boolean);
      if (directive) {
        const [, word, rest] = directive as unknown as [string, string, string];
        if (word === 'if') open.push(live ? flag(prefix + rest, file, n) : false);
        else if (word === 'else') open.push(!(open.pop() ?? fail(file, n, '#else without #if')));
        else if (word === 'endif') {
          if (open.pop() === undefined) fail(file, n, '#endif without #if');
        } else if (word === 'import') {
          const [what, as = prefix] = rest.split(' as ') as [string, string?];
          if (prefix !== '' && as !== prefix) fail(file, n, `#import ${rest} inside ${prefix}`);
          const alias = as + what;
          const target = imports[alias] ?? what;
          if (imports[alias] !== undefined) used.add(alias);
          if (live && !imported.has(as + target)) {
            imported.add(as + target);
            expand(target, as);
          }
        } else fail(file, n, `unknown directive #${word}`);
        return;
      }
      if (!live) return;
      const override = OVERRIDE.exec(raw);
      if (override) {
        const [, own, type] = override as unknown as [string, string, string];
        const name = prefix + own;
        const value = constants[name];
        if (typeof value !== 'number' || !Number.isFinite(value)) {
          fail(file, n, `constant ${name} needs a finite number, got ${String(value)}`);
        }
        used.add(name);
        raw = `const ${own}: ${type} = ${literal(value as number, type)};`;
      }
      lines.push({ text: raw, file, line: n, prefix });
    });
    if (open.length) fail(file, text.split('\n').length, '#if without #endif');
  };

  expand(path, '');
  const unused = [...Object.keys(constants), ...Object.keys(imports)].filter((name) => !used.has(name));
  if (unused.length) throw new InvariantError(`shaders/${path}.wgsl does not use ${unused.join(', ')}`);

  const enables = new Map(lines.flatMap((line) => (ENABLE.test(line.text) ? [[line.text, line]] : [])));
  lines.splice(0, lines.length, ...enables.values(), ...lines.filter(({ text }) => !ENABLE.test(text)));
  const texts = renamed(lines);
  const bindings: ShaderBinding[] = [];
  for (const line of texts) {
    const m = BINDING.exec(line);
    if (!m) continue;
    const kind = m[3] === 'uniform' ? 'uniform' : ((m[4] ?? 'read') as BindingKind);
    bindings.push({ group: Number(m[1]), binding: Number(m[2]), kind, name: m[5]! });
  }
  return { path, code: texts.join('\n'), origin: lines.map(({ file, line }) => ({ file, line })), bindings };
}

/** The entry point has the file's own name. */
export const entryPoint = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
