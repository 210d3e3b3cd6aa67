/** Which side answers, and why. */
import { describe, expect, it } from 'vitest';
import { DeviceCapability, InvalidRequest, OutOfBudget, SourceError, UnsupportedModel } from '../../../src/errors.ts';
import type { AnyChat } from '../../../src/remote/types.ts';
import type { Chat } from '../../../src/chat/types.ts';
import { openChatWith, type LocalSide, type OpenChatOptions, type OpenedChat } from '../../../src/remote/open-chat.ts';

const remote = { baseURL: 'http://server.example/v1', apiKey: 'sk-secret' };
const chat = {} as Chat satisfies AnyChat; // what a local model has is what both sides have in common

interface FakeModel {
  disposed: number;
  dispose(): Promise<void>;
}

async function open(
  options: OpenChatOptions<string>,
  failure?: Error,
  isSupported = true,
): Promise<{ opened: OpenedChat<FakeModel>; asked: string[] }> {
  const asked: string[] = [];
  const model: FakeModel = { disposed: 0, dispose: () => Promise.resolve(void model.disposed++) };
  const here: LocalSide<string, { gpuBytes: number }, FakeModel> = {
    checkSupport: () => {
      asked.push('support');
      return Promise.resolve(
        isSupported
          ? { ok: true, device: {} as never }
          : { ok: false, reason: 'no-webgpu', message: 'this browser has no WebGPU' },
      );
    },
    load: (source, { gpuBytes }) => {
      asked.push(`load ${source} ${gpuBytes}`);
      return failure ? Promise.reject(failure) : Promise.resolve({ model, chat });
    },
  };
  return { opened: await openChatWith(here, options, { gpuBytes: 7 }), asked };
}

describe('answered here', () => {
  it.each<[string, OpenChatOptions<string>]>([
    ['when nothing else is given', { local: 'o/m' }],
    ['when both are', { local: 'o/m', remote }],
    ['when asked for', { local: 'o/m', remote, prefer: 'local' }],
  ])('%s', async (_, options) => {
    const { opened, asked } = await open(options);
    expect(opened).toMatchObject({ side: 'local', why: 'The model runs here', remote: null });
    expect(opened.chat).toBe(chat);
    expect(asked).toEqual(['support', 'load o/m 7']);
    await opened.dispose();
    expect(opened.model!.disposed).toBe(1);
  });
});

describe('answered by the server', () => {
  it.each<[string, OpenChatOptions<string>, Error | undefined, boolean, RegExp, string[]]>([
    ['when asked for', { local: 'o/m', remote, prefer: 'remote' }, undefined, true, /was asked for/, []],
    ['when there is no model here', { remote }, undefined, true, /No model was named/, []],
    [
      'without WebGPU',
      { local: 'o/m', remote },
      undefined,
      false,
      /not run here: this browser has no WebGPU/,
      ['support'],
    ],
    [
      'when it does not fit',
      { local: 'o/m', remote },
      new OutOfBudget('too large', {}),
      true,
      /too large/,
      ['support', 'load o/m 7'],
    ],
    [
      'when it cannot run',
      { local: 'o/m', remote },
      new UnsupportedModel('GGUF'),
      true,
      /GGUF/,
      ['support', 'load o/m 7'],
    ],
  ])('%s', async (_, options, failure, isSupported, why, asks) => {
    const { opened, asked } = await open(options, failure, isSupported);
    expect(opened).toMatchObject({ side: 'remote', model: null, remote: { baseURL: remote.baseURL } });
    expect(opened.why).toMatch(why);
    expect(asked).toEqual(asks);
    expect(JSON.stringify(opened)).not.toContain('sk-secret');
    await opened.dispose();
  });
});

describe('nothing is sent elsewhere', () => {
  it('because of a network that fails', async () => {
    const failure = new SourceError('reset');
    await expect(open({ local: 'o/m', remote }, failure)).rejects.toBe(failure);
  });
  it('without a server', async () => {
    await expect(open({ local: 'o/m' }, undefined, false)).rejects.toThrow(DeviceCapability);
    await expect(open({ local: 'o/m', prefer: 'remote' }, new OutOfBudget('x'))).rejects.toThrow(OutOfBudget);
    await expect(open({})).rejects.toThrow(InvalidRequest);
  });
});
