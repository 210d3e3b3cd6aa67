/** The address of a script of the page's own, where Trusted Types are enforced: through the one policy that the page's CSP lists. */

interface TrustedTypesFactory {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): URL };
}

export function trusted(url: URL): URL {
  const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypesFactory };
  return (
    trustedTypes?.createPolicy('webmoe', { createScriptURL: (address) => address }).createScriptURL(url.href) ?? url
  );
}
