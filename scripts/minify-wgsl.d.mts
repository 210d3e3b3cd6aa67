/** A plugin of Rolldown's, and of Vite's builds. */
export declare const minifiedShaders: {
  readonly name: string;
  readonly apply: 'build';
  readonly load: (id: string) => string | null;
};
export declare function minifyShaders(texts: Readonly<Record<string, string>>): Record<string, string>;
