/** What is asked of a Hub again by a later session that finds the model kept: no GPU, the steps of `load` up to the plan. */
import { afterAll, afterEach, describe, expect, it } from 'vitest';
import { openSource } from '../../../src/engine/open-source.ts';
import { openKeeping, rememberedSource, type Storage } from '../../../src/engine/keeping.ts';
import { DEFAULT_DEVICE_LIMITS, openModel, planOpened } from '../../../src/engine/open.ts';
import { loadText } from '../../../src/engine/text.ts';
import { localLock } from '../../../src/weights/records/lock.ts';
import { memoryFolder } from '../../../src/weights/records/memory-folder.ts';
import { modelStorage } from '../../../src/weights/records/storage.ts';
import { fakeHub } from '../../support/fake-hub.ts';
import { ggufOf, ggufText } from '../../support/gguf-fixture.ts';
import { withLetters } from '../../support/letters.ts';
import { filesOf, fixturePath, text, type Files } from '../../support/models.ts';

const ID = 'org/tiny-moe';
const olmoe = Object.entries(filesOf(fixturePath('families/olmoe'))).filter(([name]) => !name.startsWith('golden'));
const model: Files = withLetters(Object.fromEntries(olmoe));
const hub = await fakeHub();
afterAll(() => hub.close());

const storageOf = (): Storage => ({ root: memoryFolder(1e8), lock: localLock() });
const retry = { attempts: 2, firstDelayMs: 5 };

interface Visit {
  readonly freshness: string;
  readonly note: string | null;
  /** Files asked for, and which of the Hub's two questions. */
  readonly asked: string[];
  readonly template: string;
}

async function visit(
  storage: Storage,
  revision?: string,
  model: { hub: string; file?: string } = { hub: ID },
): Promise<Visit> {
  hub.reset();
  const named = { ...model, endpoint: hub.url, revision };
  const source = await openSource(named, { storage, retry });
  const remembered = (await rememberedSource(source, storage))!;
  const opened = await openModel(remembered);
  const words = await loadText(remembered, opened.config.vocab);
  await remembered.save();
  const { keeping } = await openKeeping(opened, planOpened(opened, DEFAULT_DEVICE_LIMITS, 'as-is', {}), { storage });
  await keeping!.records.close();
  const asked = hub.paths().map((path) =>
    path
      .replace(/^api\/models\//, '')
      .split('/')
      .slice(2)
      .join('/'),
  );
  return {
    freshness: remembered.freshness,
    note: remembered.note,
    asked: [...new Set(asked.map((path) => path.replace(/[0-9a-f]{40}/, '*')))],
    template: words!.template!.source,
  };
}

const kept = async ({ root, lock }: Storage): Promise<string[]> =>
  (await modelStorage(root!, lock!).list()).map(({ source }) => source);

const { plan } = hub.front;
afterEach(() => void (hub.front.plan = plan));

describe('a model on a Hub that is kept', () => {
  it('costs two questions the next time, and none when the Hub is away', async () => {
    hub.commit(ID, model);
    const storage = storageOf();
    expect((await visit(storage)).asked).toContain('resolve/*/config.json');
    expect(await visit(storage)).toMatchObject({ freshness: 'fresh', asked: ['revision/main', 'tree/*'] });
    hub.front.plan = () => ({ status: 503 });
    const away = await visit(storage);
    expect(away).toMatchObject({ freshness: 'offline', asked: ['revision/main'] });
    expect(away.note).toMatch(/used as it was kept, because its source does not answer/);
  });

  it('costs no more as a .gguf file of a repository', async () => {
    const id = 'org/tiny-GGUF';
    const gguf = { hub: id, file: 'tiny-BF16.gguf' };
    hub.commit(id, { [gguf.file]: ggufOf(model, { metadata: ggufText(model) }), 'tiny-Q2_K.gguf': text('x') });
    const storage = storageOf();
    expect(await visit(storage, undefined, gguf)).toMatchObject({
      freshness: 'new',
      asked: ['revision/main', 'tree/*', `resolve/*/${gguf.file}`],
    });
    expect(await kept(storage)).toEqual([`${hub.url}/${id}/${gguf.file}`]);
    expect(await visit(storage, undefined, gguf)).toMatchObject({
      freshness: 'fresh',
      asked: ['revision/main', 'tree/*'],
    });
    hub.front.plan = () => ({ status: 503 });
    expect(await visit(storage, undefined, gguf)).toMatchObject({ freshness: 'offline', asked: ['revision/main'] });
  });

  it('another revision is another model', async () => {
    hub.commit(ID, model);
    hub.commit(ID, model, 'v1');
    const storage = storageOf();
    await visit(storage);
    await visit(storage, 'v1');
    expect((await kept(storage)).sort()).toEqual([`${hub.url}/${ID}`, `${hub.url}/${ID}@v1`]);
  });

  it('a new commit is read anew, template and all; what has the same hashes need not be fetched', async () => {
    hub.commit(ID, model);
    const storage = storageOf();
    await visit(storage);
    const before = await modelStorage(storage.root!, storage.lock!).list();
    hub.commit(ID, { ...model, 'chat_template.jinja': text('{{ messages[0].content }}!') });
    expect((await visit(storage)).template).toBe('{{ messages[0].content }}!');
    const after = await modelStorage(storage.root!, storage.lock!).list();
    expect(after.map(({ id }) => id)).toEqual(before.map(({ id }) => id));
  });
});
