/** The same chat completions, answered by any OpenAI-compatible server (vLLM, SGLang, `webmoe serve`, ...). */
import type { ChatRequest, RequestOptions } from '../chat/types.ts';
import { RemoteClient, isFields, type RemoteOptions } from './client.ts';
import { RemoteStream } from './stream.ts';
import type { AnyChat, AnyCompletion, AnyStream } from './types.ts';

export interface RemoteModelInfo {
  readonly id: string;
  readonly ownedBy: string | null;
}

export interface RemoteModel {
  /** Who answers: text leaves this computer. */
  readonly side: 'remote';
  readonly baseURL: string;
  readonly chat: AnyChat;
  readonly models: {
    /** @throws RemoteError; the signal's reason */
    list(options?: RequestOptions): Promise<readonly RemoteModelInfo[]>;
  };
}

/**
 * Asks nothing yet.
 * @throws InvalidRequest for an address or a header that cannot be one
 */
export function connect(options: RemoteOptions): RemoteModel {
  const client = new RemoteClient(options);
  const list = async ({ signal }: RequestOptions = {}): Promise<readonly RemoteModelInfo[]> => {
    const json: unknown = await jsonOf(client, await client.request('/models', undefined, signal), signal);
    const data = isFields(json) && Array.isArray(json.data) ? json.data.filter(isFields) : null;
    if (!data) throw client.error(null, 'the answer is no list of models', {});
    return data
      .filter(({ id }) => typeof id === 'string')
      .map(({ id, owned_by: owner }) => ({ id: id as string, ownedBy: typeof owner === 'string' ? owner : null }));
  };
  let model = options.model;
  const modelFor = async (signal: AbortSignal | undefined): Promise<string> => {
    model ??= (await list({ signal }))[0]?.id;
    if (model === undefined) throw client.error(null, 'the server lists no model: name one', {});
    return model;
  };
  const create = async (request: ChatRequest, { signal }: RequestOptions = {}): Promise<AnyCompletion | AnyStream> => {
    signal?.throwIfAborted();
    const stop = new AbortController();
    const either = signal ? AbortSignal.any([signal, stop.signal]) : stop.signal;
    const body = { ...request, model: request.model ?? (await modelFor(signal)) };
    const response = await client.request('/chat/completions', body, either);
    if (request.stream) return new RemoteStream(client, await expectEvents(client, response), stop, signal);
    const json = await jsonOf(client, response, signal);
    if (!isFields(json) || !Array.isArray(json.choices))
      throw client.error(null, 'the answer is no chat completion', {});
    return json as unknown as AnyCompletion;
  };
  return {
    side: 'remote',
    baseURL: client.baseURL,
    models: { list },
    chat: { completions: { create: create as AnyChat['completions']['create'] } },
  };
}

async function jsonOf(client: RemoteClient, response: Response, signal: AbortSignal | undefined): Promise<unknown> {
  const text = await client.during(signal, response.text());
  try {
    return JSON.parse(text);
  } catch {
    throw client.error(response.status, 'the answer is not JSON. Does baseURL end as the server wants it, in /v1?', {});
  }
}

async function expectEvents(client: RemoteClient, response: Response): Promise<Response> {
  const type = response.headers.get('content-type') ?? '';
  if (/^text\/event-stream/i.test(type.trim())) return response;
  throw client.refusal(response.status, await response.text());
}
