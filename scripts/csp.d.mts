export declare const headerPolicy: string;
export declare const metaPolicy: string;
