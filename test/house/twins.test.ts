import { describe, expect, it } from 'vitest';
import { exists, filesUnder, type TextFile } from './files.ts';

const ofShader = (path: string): string => path.replace(/^shaders\//, '').replace(/\.wgsl$/, '');
const isKernel = ({ text }: TextFile): boolean => /^@compute\b/m.test(text);
const imports = (text: string): string[] => [...text.matchAll(/^\s*#import\s+(\S+)/gm)].map((m) => m[1]!);

/** What is wrong with a kernel: its header, its twin, its entry, its tests. */
function faultsOfKernel({ path, text }: TextFile, tests: readonly TextFile[], has = exists): string[] {
  const name = ofShader(path);
  const faults: string[] = [];
  const header = /^(\/\/.*\n)+/.exec(text)?.[0] ?? '';
  if (!header.startsWith(`// ${name}:`)) faults.push(`the header does not begin with "// ${name}:"`);
  for (const field of ['in', 'out', 'grid', 'num', 'cost'])
    if (!new RegExp(`^// ${field}\\b`, 'm').test(header)) faults.push(`the header has no "${field}"`);
  for (const [role, folder] of [
    ['twin', 'src/reference/'],
    ['entry', 'src/kernels/'],
  ] as const) {
    const file = new RegExp(`\\b${role}\\s+(\\S+)`).exec(header)?.[1];
    if (!file?.startsWith(folder) || !has(file))
      faults.push(`${role} ${file ?? 'is not named'}: no such file in ${folder}`);
  }
  const entry = name.slice(name.lastIndexOf('/') + 1);
  if (!new RegExp(`^fn ${entry}\\b`, 'm').test(text)) faults.push(`no entry point ${entry}`);
  const group = `test/kernels/${name.slice(0, name.lastIndexOf('/') + 1)}`;
  const mutated = tests.some(
    (t) =>
      t.path.startsWith(group) &&
      t.text.includes('expectMutantToFail') &&
      new RegExp(`['"\`]${name}['"\`]`).test(t.text),
  );
  if (!mutated) faults.push(`no mutant of it in ${group}`);
  return faults.map((fault) => `${path}: ${fault}`);
}

const shaders = filesUnder('shaders', '.wgsl');
const kernels = shaders.filter(isKernel);
const tests = filesUnder('test/kernels', '.test.ts');

describe('shaders', () => {
  it('have a header, a twin in doubles, an entry, and tests that notice a broken kernel', () => {
    expect(kernels.length).toBeGreaterThan(0);
    expect(kernels.flatMap((k) => faultsOfKernel(k, tests))).toEqual([]);
  });

  it('without an entry point are imported by another', () => {
    const imported = new Set(shaders.flatMap(({ text }) => imports(text)));
    // Weight formats come in under the alias `weight_format`, those of caches under `kv_format`, heads of latents under `heads`.
    const idle = shaders.filter((s) => !isKernel(s)).map(({ path }) => ofShader(path));
    const isAliased = (name: string): boolean => /^(?:weights|kv)\/|^attention\/latent_heads$/.test(name);
    expect(idle.filter((name) => !imported.has(name) && !isAliased(name))).toEqual([]);
  });

  it('of kernels are not imported, and imports exist', () => {
    const names = new Set([...shaders.map(({ path }) => ofShader(path)), 'weight_format']);
    const all = shaders.flatMap(({ path, text }) => imports(text).map((name) => `${path} imports ${name}`));
    const isWrong = (line: string): boolean => {
      const name = line.slice(line.lastIndexOf(' ') + 1);
      return kernels.some(({ path }) => ofShader(path) === name) || (name.includes('/') && !names.has(name));
    };
    expect(all.filter(isWrong)).toEqual([]);
  });

  const good = {
    path: 'shaders/norm/rms.wgsl',
    text: '// norm/rms: y = x\n// in x\n// out y\n// grid [1]\n// num f32\n// cost 0\n// twin src/reference/norm/rms.ts   entry src/kernels/norm/rms.ts\n@compute @workgroup_size(64)\nfn rms() {}\n',
  };
  const tested = [{ path: 'test/kernels/norm/rms.test.ts', text: `expectMutantToFail(gpu, s, 'norm/rms', m, c)` }];
  const faults = (
    change: (text: string) => string,
    has = (): boolean => true,
    withTests: TextFile[] = tested,
  ): string[] => faultsOfKernel({ ...good, text: change(good.text) }, withTests, has);

  it('catches what is missing', () => {
    expect(faults((t) => t)).toEqual([]);
    expect(faults((t) => t.replace('// norm/rms:', '// norm:'))).toHaveLength(1);
    expect(faults((t) => t.replace('// cost 0\n', ''))).toHaveLength(1);
    expect(faults((t) => t.replace('twin ', 'like '))).toHaveLength(1);
    expect(faults((t) => t.replace('fn rms', 'fn main'))).toHaveLength(1);
    expect(
      faults(
        (t) => t,
        () => false,
      ),
    ).toHaveLength(2);
    expect(faults((t) => t, undefined, [])).toHaveLength(1);
    expect(faults((t) => t, undefined, [{ ...tested[0]!, path: 'test/kernels/moe/rms.test.ts' }])).toHaveLength(1);
    expect(faults((t) => t, undefined, [{ ...tested[0]!, text: `run('norm/rms')` }])).toHaveLength(1);
  });
});
