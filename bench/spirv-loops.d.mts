export function innerLoops(text: string): { readonly isGuarded: boolean; readonly clamps: number }[];
