export interface Kernel {
  readonly path: string;
  readonly code: string;
}
export function kernelsOf(
  model: string,
  options: {
    readonly weights?: 'as-is' | 'q8' | 'q4';
    readonly features?: readonly string[];
    readonly arithmetic?: 'f32' | 'f16' | 'int8';
    readonly contextLength?: number;
    readonly kv?: 'f32' | 'f16' | 'int8';
    readonly tune?: { readonly fewUpTo?: number; readonly tileRows?: 16 | 32 | 64 };
    readonly vocab?: number;
  },
): Promise<Kernel[]>;
