/** Starts the engine's worker from a copy in a module of its own, where the worker's file cannot be reached: `worker-src blob:` must be allowed. */
import { trustedUrl } from '../../util/trusted-url.ts';

/** @returns null when this build has no such copy. Once the worker has answered, `revoke` frees it. */
export async function startInlineWorker(): Promise<{ readonly worker: Worker; revoke(): void } | null> {
  const { default: code } = await import('../../worker-inline.ts');
  if (code === null) return null;
  const url = URL.createObjectURL(new Blob([code], { type: 'text/javascript' }));
  const revoke = (): void => URL.revokeObjectURL(url);
  try {
    return { worker: new Worker(trustedUrl(new URL(url)), { name: 'webmoe' }), revoke };
  } catch (error) {
    revoke();
    throw error;
  }
}
