/** Adapters on their way to a worker: each source answers for itself, and files and addresses travel as they are. */
import { expect, it } from 'vitest';
import { openAdapters, sendAdapters, together } from '../../../src/surface/adapters.ts';
import { Peer } from '../../../src/surface/port/peer.ts';
import { receiveSource } from '../../../src/surface/worker/receive-source.ts';
import { sendSource } from '../../../src/surface/worker/wire-source.ts';
import { readBytes, type ByteSource } from '../../../src/weights/source.ts';
import { fakePorts } from '../../support/fake-port.ts';
import { memorySource } from '../../support/weights.ts';

const read = async (source: ByteSource, file: string): Promise<string> =>
  new TextDecoder().decode(await readBytes(source, file, 0, (await source.size(file))!));

it('reads each source of the page by its own channel, and files without one', async () => {
  const source = (text: string): ByteSource => memorySource({ 'a.txt': text });
  const model = sendSource(source('model'));
  const sent = sendAdapters({
    adapter: source('merged'),
    adapters: { one: source('first'), two: source('second'), files: [new File(['picked'], 'a.txt')] },
  });
  const { ends } = fakePorts();
  new Peer(ends[0], together([model.handlers, ...sent.handlers]));
  const page = new Peer(ends[1], { calls: {}, streams: {} });
  const receive = (wire: Parameters<typeof receiveSource>[0]): Promise<ByteSource> => receiveSource(wire, page, {});
  const { adapter, adapters } = await openAdapters(sent.wire, receive);
  expect(await read(await receive(model.wire), 'a.txt')).toBe('model');
  expect(await read(adapter!, 'a.txt')).toBe('merged');
  expect(Object.keys(adapters!)).toEqual(['one', 'two', 'files']);
  expect(await Promise.all(Object.values(adapters!).map((s) => read(s, 'a.txt')))).toEqual([
    'first',
    'second',
    'picked',
  ]);
  expect(await adapters!.one!.size('b.txt')).toBeNull();
});

it('sends addresses as they are, and nothing where nothing is asked', () => {
  const { wire, handlers } = sendAdapters({ adapters: { hub: 'me/lora', url: 'https://example.org/lora/' } });
  expect(wire).toEqual({
    adapters: {
      hub: { kind: 'named', name: 'me/lora' },
      url: { kind: 'named', name: 'https://example.org/lora/' },
    },
  });
  expect(handlers.flatMap(({ calls }) => Object.keys(calls))).toEqual([]);
  expect(sendAdapters({}).wire).toEqual({});
});
