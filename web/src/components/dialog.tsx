// Owns the questions that stop everything else: a modal with a title; Escape and the close button give `onClose`.

import type { ComponentChildren, JSX } from "preact";
import { useId, useLayoutEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import { place } from "./focus";
import { Icon } from "./icons";

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
  readonly testId?: string;
  /** What takes the focus afterwards if the button that opened it is hidden by then. */
  readonly after?: string;
}

export function Dialog({ title, onClose, children, testId, after }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  // Before the next key can be pressed: a modal that opens after painting would take a Tab's new place for its opener.
  useLayoutEffect(() => {
    const dialog = element.current;
    if (!dialog) return;
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return (
    <dialog
      ref={element}
      class="dialog"
      {...place("dialog", after)}
      aria-labelledby={titleId}
      data-testid={testId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <div class="dialog-head">
        <h2 id={titleId}>{title}</h2>
        <button type="button" class="button quiet" onClick={onClose}>
          <Icon name="close" />
          {t("app.close")}
        </button>
      </div>
      {children}
    </dialog>
  );
}

interface ConfirmProps {
  readonly question: string;
  readonly yes: string;
  readonly onYes: () => void;
  readonly onClose: () => void;
}

export function Confirm({ question, yes, onYes, onClose }: ConfirmProps): JSX.Element {
  return (
    <Dialog title={question} onClose={onClose} testId="confirm">
      <div class="dialog-buttons">
        <button type="button" class="button" autoFocus onClick={onClose}>
          {t("app.cancel")}
        </button>
        <button
          type="button"
          class="button danger"
          data-testid="confirm-yes"
          onClick={() => {
            // First the deed: what is asked about may be forgotten with the question.
            onYes();
            onClose();
          }}
        >
          {yes}
        </button>
      </div>
    </Dialog>
  );
}
