export interface PageFile {
  readonly name: string;
  /** Gzipped. */
  readonly bytes: number;
  /** Loaded before the page can be used. */
  readonly isShell: boolean;
}

export declare const SHELL_BUDGET: number;
export declare function pageSizes(page?: 'index.html' | 'visualiser/index.html'): Promise<PageFile[]>;
export declare function shellBytes(files: readonly PageFile[]): number;
