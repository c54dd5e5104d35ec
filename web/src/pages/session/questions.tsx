// Owns asking in writing in an event: the field, and what became of the own questions.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { ask } from "../../components/context";
import { Icon } from "../../components/icons";
import { t } from "../../i18n";
import { NOTICE_MAX_CHARACTERS } from "../../protocol";
import type { Room } from "./room";

export function QuestionsPanel({ room }: { readonly room: Room }): JSX.Element {
  const { client } = room;
  const text = room.asking;
  const sending = useSignal(false);
  const own = client.event.questions.value.filter(({ participant }) => participant === client.self.value?.id);
  const send = async (): Promise<void> => {
    const words = text.peek().trim();
    // On a thin line a second press comes before the answer.
    if (words === "" || sending.peek()) return;
    sending.value = true;
    try {
      await client.askQuestion(words);
      if (text.peek().trim() === words) text.value = "";
    } finally {
      sending.value = false;
    }
  };
  return (
    <div class="ask">
      <p class="note">{t("questions.hint")}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault();
          ask(send());
        }}
      >
        <textarea
          rows={4}
          data-testid="question-input"
          aria-label={t("questions.yours")}
          placeholder={t("questions.yours")}
          maxLength={NOTICE_MAX_CHARACTERS}
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
        <button type="submit" class="button primary" data-testid="question-send" aria-disabled={text.value.trim() === "" || sending.value}>
          <Icon name="questions" />
          {t("questions.send")}
        </button>
      </form>
      <ul class="own-questions">
        {own.map((question) => (
          <li key={question.id} data-testid="own-question" data-state={question.state}>
            <p>{question.text}</p>
            <span class="question-state">{t(`questions.state.${question.state}`)}</span>
            {question.state === "open" && (
              <button type="button" class="button small" data-testid="question-withdraw" onClick={() => ask(client.withdrawQuestion(question.id))}>
                <Icon name="undo" />
                {t("questions.withdraw")}
              </button>
            )}
          </li>
        ))}
      </ul>
    </div>
  );
}
