/** The worker's script as a text. The build of the package puts it here; run from source there is none, as the worker's own file is at hand. */
const code: string | null = null;

export default code;
