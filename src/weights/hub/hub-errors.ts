/** What a Hub's refusals mean, and what to do about them. */
import { SourceError } from '../../errors.ts';
import type { HubPlace } from './hub-model.ts';

export type HubRefusal = 'gated' | 'no-access' | 'no-such-model' | 'no-such-revision';

/** @param code the Hub's X-Error-Code, which browsers see where it is exposed */
export function hubRefusal(place: HubPlace, status: number, code: string | null, cause?: unknown): SourceError {
  const [reason, what] = meaning(place, status, code);
  const details = { reason, status, hub: place.id, revision: place.revision, endpoint: place.endpoint };
  return new SourceError(`${place.key}: the Hub answered ${status}: ${what}`, details, { cause });
}

function meaning(
  { endpoint, id, revision, hasToken }: HubPlace,
  status: number,
  code: string | null,
): [HubRefusal, string] {
  const given = hasToken ? 'A token was given' : 'No token was given';
  if (code === 'RevisionNotFound') return ['no-such-revision', `${id} has no branch, tag or commit "${revision}"`];
  if (code === 'RepoNotFound' || status === 404)
    return ['no-such-model', `there is no model "${id}" at "${revision}", or it is private. ${given}`];
  if (code === 'GatedRepo' || status === 403 || !hasToken) {
    const then = hasToken
      ? 'with the account of the token, and check that the token may read it'
      : 'and give an access token';
    return ['gated', `the model is gated or private. Accept its terms at ${endpoint}/${id} ${then}. ${given}`];
  }
  return ['no-access', `the token is not valid, or does not reach this model. Make a new one, or load without`];
}
