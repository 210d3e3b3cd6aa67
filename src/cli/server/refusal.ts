/** What a request is answered when it cannot be served, in OpenAI's form. */
import { DeviceLost, InvalidRequest, OutOfBudget, WebmoeError } from '../../errors.ts';

export interface Refusal {
  readonly status: number;
  readonly message: string;
  readonly type: 'invalid_request_error' | 'authentication_error' | 'permission_error' | 'server_error';
  /** The field that is wrong. */
  readonly param: string | null;
  readonly code: string | null;
  readonly headers: Readonly<Record<string, string>>;
}

export class Refused extends Error {
  readonly refusal: Refusal;

  constructor(status: number, message: string, rest: Partial<Refusal> = {}) {
    super(message);
    const type = status >= 500 ? 'server_error' : 'invalid_request_error';
    this.refusal = { status, message, type, param: null, code: null, headers: {}, ...rest };
  }
}

/** Errors of ours say what is wrong; what an unexpected one says is not for clients. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof Refused) return error.refusal;
  if (!(error instanceof WebmoeError)) return new Refused(500, 'The server failed; its log says how').refusal;
  const { message, code, details } = error;
  const { field } = details;
  const param = typeof field === 'string' ? field : null;
  if (error instanceof InvalidRequest) return new Refused(400, message, { param, code }).refusal;
  const isPassing = error instanceof OutOfBudget || error instanceof DeviceLost;
  return new Refused(isPassing ? 503 : 500, message, { code }).refusal;
}

export const bodyOf = ({ message, type, param, code }: Refusal): unknown => ({ error: { message, type, param, code } });
