// Owns showing a PDF page by page: drawn here by pdf.js, because what strangers made must not run, and because a browser's own viewer needs
// plug-ins that the content policy forbids. Its code is large and comes only when there is a PDF.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "../../components/icons";
import { formatNumber, t } from "../../i18n";
import type { OpenPdf } from "./pdfpages";

interface PdfProps {
  readonly bytes: ArrayBuffer;
  readonly title: string;
}

type Trouble = "locked" | "broken";

const ZOOMS = [0.5, 0.75, 1, 1.5, 2, 3] as const;
const FITTED = ZOOMS.indexOf(1);

export function Pdf({ bytes, title }: PdfProps): JSX.Element {
  const pdf = useSignal<OpenPdf | null>(null);
  const trouble = useSignal<Trouble | null>(null);
  const zoom = useSignal<number>(FITTED);
  useEffect(() => {
    let isHere = true;
    let opened: OpenPdf | null = null;
    const open = async (): Promise<void> => {
      const { openPdf, isLocked } = await import("./pdfpages");
      try {
        opened = await openPdf(bytes);
        if (isHere) pdf.value = opened;
        else opened.close();
      } catch (error) {
        if (isHere) trouble.value = isLocked(error) ? "locked" : "broken";
      }
    };
    // The chunk itself may not come over a bad line.
    open().catch(() => isHere && (trouble.value = "broken"));
    return () => {
      isHere = false;
      opened?.close();
      pdf.value = null;
    };
  }, [bytes, pdf, trouble]);
  if (trouble.value !== null) {
    return (
      <div class="reader-cell-note" role="alert">
        {t(`document.pdf.${trouble.value}`)}
      </div>
    );
  }
  if (pdf.value === null) {
    return (
      <div class="reader-cell-note" role="status">
        {t("document.loading")}
      </div>
    );
  }
  const open = pdf.value;
  const at = zoom.value;
  const step = (by: number): void => {
    zoom.value = Math.max(0, Math.min(ZOOMS.length - 1, zoom.peek() + by));
  };
  return (
    <article class="pdf" data-testid="pdf" data-pages={open.pages} aria-label={title || t("document.pdf")}>
      <div class="pdf-tools" role="toolbar" aria-label={t("document.tools")}>
        <span>{t("document.pages", { count: open.pages })}</span>
        <button type="button" class="button small" aria-disabled={at === 0} data-testid="pdf-smaller" onClick={() => step(-1)}>
          {t("document.smaller")}
        </button>
        <span>{t("document.zoom", { value: formatNumber((ZOOMS[at] ?? 1) * 100) })}</span>
        <button type="button" class="button small" aria-disabled={at === ZOOMS.length - 1} data-testid="pdf-larger" onClick={() => step(1)}>
          <Icon name="plus" />
          {t("document.larger")}
        </button>
      </div>
      <div class="pdf-pages" tabIndex={0} aria-label={title || t("document.pdf")} role="region">
        {Array.from({ length: open.pages }, (_, index) => (
          <Page key={index} pdf={open} number={index + 1} zoom={ZOOMS[at] ?? 1} />
        ))}
      </div>
    </article>
  );
}

function Page({ pdf, number, zoom }: { readonly pdf: OpenPdf; readonly number: number; readonly zoom: number }): JSX.Element {
  const canvas = useRef<HTMLCanvasElement>(null);
  const failed = useSignal(false);
  const isNear = useNear(canvas);
  useEffect(() => {
    const element = canvas.current;
    if (!element || !isNear) return;
    const drawing = pdf.draw(number, element, zoom);
    drawing.done.then(
      () => (failed.value = false),
      () => (failed.value = !drawing.isStopped()),
    );
    return () => drawing.stop();
  }, [pdf, number, zoom, isNear, failed]);
  return (
    <>
      <canvas ref={canvas} class="pdf-page" data-testid="pdf-page" data-page={number} role="img" aria-label={t("document.page", { number })} />
      {failed.value && <p role="alert">{t("document.pageBroken", { number })}</p>}
    </>
  );
}

/** Whether it is, or soon will be, in sight: a report of hundreds of pages is not drawn at once. */
function useNear(element: { readonly current: Element | null }): boolean {
  const near = useSignal(false);
  useEffect(() => {
    if (!element.current) return;
    const observer = new IntersectionObserver((entries) => (near.value = entries.some(({ isIntersecting }) => isIntersecting)), { rootMargin: "600px" });
    observer.observe(element.current);
    return () => observer.disconnect();
  }, [element, near]);
  return near.value;
}
