/** Which strings are Hub ids, and which ids, revisions, endpoints and tokens are refused. */
import { describe, expect, it } from 'vitest';
import { InvalidRequest } from '../../../../src/errors.ts';
import { hubModelOf, isRemote } from '../../../../src/engine/model-source.ts';
import { parseHubId, readHubModel, type HubModel } from '../../../../src/weights/hub/hub-model.ts';

describe('a string', () => {
  it.each([
    ['allenai/OLMoE-1B-7B-0924-Instruct', { hub: 'allenai/OLMoE-1B-7B-0924-Instruct' }],
    ['o/m@v1.0', { hub: 'o/m', revision: 'v1.0' }],
    ['o/m@refs/pr/3', { hub: 'o/m', revision: 'refs/pr/3' }],
  ])('%s is a Hub id', (text, model) => {
    expect(parseHubId(text)).toEqual(model);
    expect(isRemote(text)).toBe(true);
  });

  it.each(['https://huggingface.co/o/m', './models/m', '../m', '/models/m', 'm', 'a/b/c', 'o/m/', 'o/m?x', ''])(
    '%j is none',
    (text) => expect(parseHubId(text)).toBeNull(),
  );

  it('is one source among others', () => {
    expect(hubModelOf({ hub: 'o/m', revision: 'v1' })).toEqual({ hub: 'o/m', revision: 'v1' });
    expect(hubModelOf(new URL('https://example.org/o/m'))).toBeNull();
    expect(hubModelOf([])).toBeNull();
  });
});

describe('a Hub model', () => {
  it('is kept under a name without secrets', () => {
    const token = 'hf_secret';
    expect(readHubModel({ hub: 'o/m', token })).toMatchObject({ key: 'https://huggingface.co/o/m', hasToken: true });
    expect(readHubModel({ hub: 'o/m', revision: 'v1', endpoint: 'https://hub.example/mirror/', token }).key).toBe(
      'https://hub.example/mirror/o/m@v1',
    );
    expect(readHubModel({ hub: 'o/m', token: `  ${token}\n` }).headers).toEqual({ authorization: `Bearer ${token}` });
    expect(readHubModel({ hub: 'o/m', token: ' ' })).toMatchObject({ headers: {}, hasToken: false });
  });

  it.each<[string, HubModel]>([
    ['dots', { hub: '../m' }],
    ['dots within', { hub: 'o/a..b' }],
    ['one name', { hub: 'm' }],
    ['three names', { hub: 'o/m/x' }],
    ['a query', { hub: 'o/m?x=1' }],
    ['a blank', { hub: 'o/m x' }],
    ['an empty revision', { hub: 'o/m', revision: '' }],
    ['a revision that climbs', { hub: 'o/m', revision: 'a/../../other' }],
    ['a revision with a query', { hub: 'o/m', revision: 'main?x' }],
    ['a relative endpoint', { hub: 'o/m', endpoint: 'hub' }],
    ['an endpoint with a password', { hub: 'o/m', endpoint: 'https://u:p@hub.example' }],
    ['an endpoint with a query', { hub: 'o/m', endpoint: 'https://hub.example/?token=x' }],
    ['another scheme', { hub: 'o/m', endpoint: 'ftp://hub.example' }],
  ])('is refused with %s', (_, model) => expect(() => readHubModel(model)).toThrow(InvalidRequest));

  it.each<[string, HubModel]>([
    ['that no header can hold', { hub: 'o/m', token: 'hf_sec\nret' }],
    ['that would go in the clear', { hub: 'o/m', token: 'hf_secret', endpoint: 'http://hub.example' }],
  ])('is refused with a token %s, which stays unsaid', (_, model) => {
    let error: unknown;
    try {
      readHubModel(model);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(InvalidRequest);
    expect(`${String(error)} ${JSON.stringify((error as InvalidRequest).details)}`).not.toMatch(/hf_|ret/);
  });
});
