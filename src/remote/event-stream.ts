/** Server-sent events (HTML, section 9.2) from bytes, cut anywhere. */

/**
 * The data of each event: CRLF, CR or LF; comments and fields other than `data` are skipped, several `data` lines are joined with LF. A last event
 * that no blank line ends counts too, since some servers leave it out.
 */
export async function* eventData(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder(); // takes a byte order mark away
  const event = new EventLines();
  let rest = '';
  for await (const piece of pieces) {
    rest += decoder.decode(piece, { stream: true });
    const end = completeLines(rest);
    yield* event.take(rest.slice(0, end));
    rest = rest.slice(end);
  }
  yield* event.take(`${rest}${decoder.decode()}\n\n`);
}

/** Where the last line that has ended ends. A CR at the very end may be half of a CRLF. */
function completeLines(text: string): number {
  const end = Math.max(text.lastIndexOf('\n'), text.lastIndexOf('\r', text.length - 2)) + 1;
  return text.endsWith('\r') ? Math.min(end, text.length - 1) : end;
}

class EventLines {
  #data: string[] = [];

  /** @param lines with their ends */
  *take(lines: string): Generator<string> {
    for (const line of lines.split(/\r\n|\r|\n/).slice(0, -1)) {
      if (line === '') {
        if (this.#data.length > 0) yield this.#data.join('\n');
        this.#data = [];
        continue;
      }
      const found = /^data(?:: ?|$)/.exec(line);
      if (found) this.#data.push(line.slice(found[0].length));
    }
  }
}
