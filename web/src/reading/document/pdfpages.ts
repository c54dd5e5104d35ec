// Owns pdf.js: opening a document in its worker and drawing its pages. Nothing of a document runs, and nothing is fetched but our own decoders.

import { getDocument, PDFWorker } from "pdfjs-dist/legacy/build/pdf.mjs";
import type { RenderTask } from "pdfjs-dist/legacy/build/pdf.mjs";
import PdfThread from "pdfjs-dist/legacy/build/pdf.worker.mjs?worker";
import jbig2 from "pdfjs-dist/wasm/jbig2.wasm?url";
import openjpeg from "pdfjs-dist/wasm/openjpeg.wasm?url";
import qcms from "pdfjs-dist/wasm/qcms_bg.wasm?url";

export interface Drawing {
  readonly done: Promise<void>;
  stop(): void;
  isStopped(): boolean;
}

export interface OpenPdf {
  readonly pages: number;
  /** At zoom 1 as wide as the room that the canvas has. */
  draw(page: number, canvas: HTMLCanvasElement, zoom: number): Drawing;
  close(): void;
}

const PAGES_MAX = 1000;
/** A page that claims to be a football field is drawn coarsely. */
const PIXELS_MAX = 16_000_000;
const DECODERS: Readonly<Record<string, string>> = { "jbig2.wasm": jbig2, "openjpeg.wasm": openjpeg, "qcms_bg.wasm": qcms };

/** The worker may fetch nothing (its content policy), so the page hands it what it needs. */
class OwnDecoders {
  async fetch({ filename }: { readonly filename: string }): Promise<Uint8Array> {
    const url = DECODERS[filename];
    if (url === undefined) throw new Error("no such decoder");
    const response = await fetch(url, { credentials: "omit" });
    if (!response.ok) throw new Error("the decoder did not come");
    return new Uint8Array(await response.arrayBuffer());
  }
}

export function isLocked(error: unknown): boolean {
  return error instanceof Error && error.name === "PasswordException";
}

export async function openPdf(bytes: ArrayBuffer): Promise<OpenPdf> {
  const thread = new PdfThread();
  const worker = PDFWorker.create({ port: thread });
  const loading = getDocument({
    // It takes what it is given away.
    data: new Uint8Array(bytes.slice(0)),
    worker,
    BinaryDataFactory: OwnDecoders,
    wasmUrl: "/",
    useWorkerFetch: false,
    isEvalSupported: false,
    enableXfa: false,
    disableAutoFetch: true,
    maxImageSize: PIXELS_MAX * 4,
  });
  const close = (): void => {
    void loading.destroy().finally(() => {
      worker.destroy();
      thread.terminate();
    });
  };
  try {
    const pdf = await loading.promise;
    return {
      pages: Math.min(PAGES_MAX, pdf.numPages),
      close,
      draw(number, canvas, zoom) {
        let isStopped = false;
        let task: RenderTask | null = null;
        const draw = async (): Promise<void> => {
          const page = await pdf.getPage(number);
          const natural = page.getViewport({ scale: 1 });
          const room = canvas.parentElement?.clientWidth ?? natural.width;
          const ratio = Math.min(2, Math.max(1, devicePixelRatio));
          const shown = ((room - 2) / natural.width) * zoom;
          const scale = Math.min(shown * ratio, Math.sqrt(PIXELS_MAX / (natural.width * natural.height)));
          if (isStopped) return;
          const viewport = page.getViewport({ scale });
          canvas.width = Math.floor(viewport.width);
          canvas.height = Math.floor(viewport.height);
          canvas.style.width = `${natural.width * shown}px`;
          canvas.style.height = `${natural.height * shown}px`;
          task = page.render({ canvas, viewport });
          await task.promise;
          canvas.dataset.drawn = "true";
        };
        return {
          done: draw(),
          stop() {
            isStopped = true;
            task?.cancel();
          },
          isStopped: () => isStopped,
        };
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}
