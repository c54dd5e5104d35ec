// Owns inflating (RFC 1951) with a bound on what comes out, whatever goes in. Knows no file format.

/** The first bytes that can be inflated, at most so many; what is cut off or broken ends it without an error. */
export async function inflatedStart(deflated: Uint8Array, limitBytes: number): Promise<Uint8Array> {
  const stream = new Blob([deflated as Uint8Array<ArrayBuffer>]).stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return startOf(stream, limitBytes);
}

/** At most the first `limitBytes` of a stream, which is let go then. An error ends it like its end. */
export async function startOf(stream: ReadableStream<Uint8Array>, limitBytes: number): Promise<Uint8Array> {
  const reader = stream.getReader();
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  try {
    while (sizeBytes < limitBytes) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value);
      sizeBytes += value.length;
    }
  } catch {
    // What came before it is there.
  }
  reader.cancel().catch(() => undefined);
  return joined(chunks).subarray(0, limitBytes);
}

export function joined(chunks: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(chunks.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
