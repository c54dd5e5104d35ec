// Owns the question whether a person agrees to be recorded: asked on joining, open until answered, and to be changed at any time.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { ask } from "../../components/context";
import { Dialog } from "../../components/dialog";
import { opener } from "../../components/focus";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import type { Participant } from "../../protocol";
import type { Room } from "./room";

/** Of whom nothing is recorded: they have not answered, or said no. */
export function openConsents(room: Room): readonly Participant[] {
  return room.client.participants.value.filter(({ consent }) => consent === "pending" || consent === "declined");
}

/** Asks who joins; who leads the session has a patient to look after and is only reminded. */
export function useConsentQuestion(room: Room): void {
  const { client } = room;
  const asked = useRef(false);
  const pending = isPending(room) && !client.permissions.value.has("moderate");
  const free = room.question.value === null;
  useEffect(() => {
    if (!pending || !free || asked.current) return;
    asked.current = true;
    room.question.value = "consent";
  }, [room, pending, free]);
}

export function ConsentReminder({ room }: { readonly room: Room }): JSX.Element | null {
  if (!isPending(room) || room.question.value === "consent") return null;
  return (
    <div class="banner consent-reminder" data-testid="consent-reminder">
      <Icon name="consent" />
      <span>{t("consent.open")}</span>
      <button type="button" class="button small" data-command="consent-answer" onClick={() => (room.question.value = "consent")}>
        {t("consent.answer")}
      </button>
    </div>
  );
}

interface DialogProps {
  readonly room: Room;
  readonly onClose: () => void;
}

/** Both answers are equally good, so neither stands out. */
export function ConsentDialog({ room, onClose }: DialogProps): JSX.Element | null {
  const { client } = room;
  const wording = client.consentWording.value;
  const now = client.self.value?.consent ?? "pending";
  if (wording === null) return null;
  const answer = (agreed: boolean): void => {
    ask(client.answerConsent(agreed));
    onClose();
  };
  return (
    <Dialog title={t("consent.title")} onClose={onClose} testId="consent-dialog" after={opener("consent")}>
      <p class="consent-wording" data-testid="consent-wording">
        {wording}
      </p>
      <div class="choices">
        <button type="button" class="button large" data-testid="consent-agree" onClick={() => answer(true)}>
          <Icon name="check" />
          <span>
            {t("consent.agree")}
            <small>{t("consent.agreeHint")}</small>
          </span>
        </button>
        <button type="button" class="button large" data-testid="consent-decline" onClick={() => answer(false)}>
          <Icon name="close" />
          <span>
            {t("consent.decline")}
            <small>{t("consent.declineHint")}</small>
          </span>
        </button>
      </div>
      <p class="note consent-now">{t(`consent.now.${now}`)}</p>
    </Dialog>
  );
}

function isPending(room: Room): boolean {
  return room.client.consentWording.value !== null && room.client.self.value?.consent === "pending";
}
