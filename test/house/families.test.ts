/** A family is one file and one line of the list. */
import { expect, it } from 'vitest';
import { FAMILIES } from '../../src/families/index.ts';
import { filesUnder } from './files.ts';

/** Files of src/families that declare a family, by the id that they give it. */
const declared = filesUnder('src/families', '.ts').flatMap(({ path, text }) =>
  /^export const \w+: Family = \{$/m.test(text) ? [{ path, id: /^ {2}id: '([^']+)',$/m.exec(text)?.[1] }] : [],
);

it('every family has the one file that is called as it is, and every such file is listed', () => {
  expect(declared.map(({ path }) => path)).toEqual(declared.map(({ id }) => `src/families/${id}.ts`));
  expect(declared.map(({ id }) => id).sort()).toEqual(FAMILIES.map(({ id }) => id).sort());
});

it('no model type and no architecture is claimed twice', () => {
  const claims = FAMILIES.flatMap(({ modelTypes, architectures }) => [...modelTypes, ...architectures]);
  expect(claims.length).toBe(new Set(claims).size);
});

/** GGUF has names of its own for families; made-up checkpoints are of one. */
const MAY_NAME = ['src/weights/gguf/architectures.ts', 'src/cli/bench/made-source.ts'];

it('no other file of src/ names a model type', () => {
  const types = FAMILIES.flatMap((f) => f.modelTypes).filter((type) => type.includes('_'));
  const named = filesUnder('src', '.ts')
    .filter(({ path }) => !path.startsWith('src/families/') && !MAY_NAME.includes(path))
    .flatMap(({ path, text }) =>
      types.filter((type) => new RegExp(`['"\`]${type}['"\`]`).test(text)).map((t) => `${path}: ${t}`),
    );
  expect(named).toEqual([]);
});
