// Owns the written part of the desk: the audience's questions, and messages to some or all.

import type { JSX } from "preact";
import { ask } from "../../components/context";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { t } from "../../i18n";
import { NOTICE_MAX_CHARACTERS } from "../../protocol";
import type { Question, QuestionState } from "../../protocol";
import { from } from "../session/eventbands";
import type { To, Wall } from "./wall";

/** What waits stands first, what is over last. */
const ORDER: readonly QuestionState[] = ["shown", "open", "answered", "declined"];
const RECIPIENTS: readonly To[] = ["everybody", "points", "viewers", "chosen"];

export function QuestionsTab({ wall }: { readonly wall: Wall }): JSX.Element {
  const all = wall.room.client.event.questions.value;
  const questions = ORDER.flatMap((state) => all.filter((question) => question.state === state));
  if (questions.length === 0) return <p class="note">{t("wall.noQuestions")}</p>;
  return (
    <ul class="desk-questions">
      {questions.map((question) => (
        <Asked key={question.id} question={question} wall={wall} />
      ))}
    </ul>
  );
}

function Asked({ question, wall }: { readonly question: Question; readonly wall: Wall }): JSX.Element {
  const { client } = wall.room;
  const to = (icon: IconName, word: string, state: QuestionState): JSX.Element => (
    <button type="button" class="button small" data-testid={`pick-${state}`} onClick={() => ask(client.pickQuestion(question.id, state))}>
      <Icon name={icon} />
      {word}
    </button>
  );
  const over = question.state === "answered" || question.state === "declined";
  return (
    <li data-testid="asked" data-state={question.state}>
      <span class="question-from">{from(question.name, question.point)}</span>
      <p>{question.text}</p>
      <span class="question-state">{t(`questions.state.${question.state}`)}</span>
      <div class="desk-buttons">
        {question.state === "open" && to("screen", t("wall.questionShow"), "shown")}
        {!over && to("check", t("wall.questionAnswered"), "answered")}
        {question.state === "open" && to("close", t("wall.questionDecline"), "declined")}
        {over && to("undo", t("wall.questionReopen"), "open")}
      </div>
    </li>
  );
}

export function MessagesTab({ wall }: { readonly wall: Wall }): JSX.Element {
  const { people } = wall.room;
  const chosen = [...wall.chosen.value].filter((id) => people.value.has(id));
  const words = wall.message.value;
  const ready = words.trim() !== "" && (wall.to.value !== "chosen" || chosen.length > 0);
  return (
    <form
      class="desk-message"
      onSubmit={(event) => {
        event.preventDefault();
        wall.send();
      }}
    >
      <label class="field">
        <span>{t("wall.to")}</span>
        <select data-testid="notice-to" value={wall.to.value} onChange={(event) => (wall.to.value = event.currentTarget.value as To)}>
          {RECIPIENTS.map((to) => (
            <option key={to} value={to}>
              {t(`wall.to.${to}`)}
            </option>
          ))}
        </select>
      </label>
      {wall.to.value === "chosen" && (
        <p class="note" data-testid="notice-chosen">
          {chosen.length === 0 ? t("wall.chooseHint") : chosen.map((id) => people.value.get(id)?.name ?? "").join(", ")}
        </p>
      )}
      <textarea
        rows={5}
        data-testid="notice-text"
        aria-label={t("wall.message")}
        placeholder={t("wall.message")}
        maxLength={NOTICE_MAX_CHARACTERS}
        value={words}
        onInput={(event) => (wall.message.value = event.currentTarget.value)}
      />
      <button type="submit" class="button primary" data-testid="notice-send" aria-disabled={!ready || wall.sending.value}>
        <Icon name="notice" />
        {t("wall.send")}
      </button>
    </form>
  );
}
