// Owns taking an export to this computer: with progress, and with a way to stop it. It goes to where the person says as it comes
// where the browser can do that; else the browser collects it first.

/** More is not collected where the browser can write at once. */
const COLLECTED_BYTES_MAX = 256 << 20;

interface FilePickerWindow {
  showSaveFilePicker?: (options: { readonly suggestedName: string }) => Promise<FileSystemFileHandle>;
}

export interface Saving {
  readonly name: string;
  /** About how large it will be. */
  readonly sizeBytes: number;
  readonly ask: (signal: AbortSignal) => Promise<Response>;
  readonly signal: AbortSignal;
  readonly onProgress: (bytes: number) => void;
}

/** Raises ApiError for a refusal, AbortError if the person stopped it, and TypeError if the line or the disk failed. */
export async function save({ name, sizeBytes, ask, signal, onProgress }: Saving): Promise<void> {
  const { showSaveFilePicker } = window as FilePickerWindow;
  // The question where to has to follow the press at once, so it comes before the server is asked.
  const file = sizeBytes > COLLECTED_BYTES_MAX && showSaveFilePicker ? await showSaveFilePicker.call(window, { suggestedName: name }) : null;
  const response = await ask(signal);
  const body = response.body?.pipeThrough(counting(onProgress)) ?? null;
  if (file !== null && body !== null) {
    // Aborted or failed, nothing is left at that place.
    await body.pipeTo(await file.createWritable(), { signal });
    return;
  }
  const collected = await new Response(body).blob();
  signal.throwIfAborted();
  offer(collected, name);
}

function counting(onProgress: (bytes: number) => void): TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>> {
  let bytes = 0;
  return new TransformStream({
    transform(chunk, controller) {
      bytes += chunk.byteLength;
      onProgress(bytes);
      controller.enqueue(chunk);
    },
  });
}

/** Gives a file to the browser, which keeps it where the person says. */
export function offer(file: Blob, name: string): void {
  const url = URL.createObjectURL(file);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  // The browser has taken it by then, or asks the person, which may take a while.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
