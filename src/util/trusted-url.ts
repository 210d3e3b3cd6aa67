/** Addresses of our own scripts on pages with Trusted Types. */

interface ScriptUrlPolicy {
  createScriptURL(url: string): URL;
}
interface TrustedTypesFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): ScriptUrlPolicy;
}

/** Name of the Trusted Types policy: pages that list theirs (`trusted-types` in the CSP) must list it. */
const POLICY = 'webmoe';

let policy: ScriptUrlPolicy | null | undefined;

/** null where there are no Trusted Types, or the page's CSP does not list the policy. */
function scriptPolicy(): ScriptUrlPolicy | null {
  if (policy !== undefined) return policy;
  const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypesFactory };
  try {
    policy = trustedTypes?.createPolicy(POLICY, { createScriptURL: (url) => url }) ?? null;
  } catch {
    policy = null;
  }
  return policy;
}

export const trustedUrl = (url: URL): URL => scriptPolicy()?.createScriptURL(url.href) ?? url;
