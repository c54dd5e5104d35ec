// Owns what is known of an event: how the stage is laid out, who is next, questions, notices, how many points are here.
// Knows neither the connection nor the pages; in a consult it stays as it begins.

import { batch, signal } from "@preact/signals";
import type { Change, LowerThird, News, Notice, ParticipantId, Question, ServerLoad, StageLayout, WaitingPerson } from "../protocol";

/** Who is away from the screen reads the newest ones. */
const NOTICES_KEPT = 10;

export class EventRoom {
  readonly layout = signal<StageLayout>("speaker");
  readonly main = signal<ParticipantId | null>(null);
  readonly second = signal<ParticipantId | null>(null);
  readonly lowerThird = signal<LowerThird | null>(null);
  /** The one that all are shown. */
  readonly shown = signal<Question | null>(null);
  readonly next = signal(false);
  readonly cue = signal<ParticipantId | null>(null);
  readonly waiting = signal<readonly WaitingPerson[]>([]);
  readonly questions = signal<readonly Question[]>([]);
  readonly messages = signal<readonly Notice[]>([]);
  readonly points = signal(0);
  readonly load = signal<ServerLoad>("calm");
  readonly agendaVersion = signal(0);

  hear(news: News): void {
    switch (news.type) {
      case "eventChanged":
        batch(() => {
          this.layout.value = news.layout;
          this.main.value = news.main;
          this.second.value = news.second;
          this.lowerThird.value = news.lowerThird;
          this.shown.value = news.question;
          this.next.value = news.next;
        });
        break;
      case "deskChanged":
        batch(() => {
          this.cue.value = news.cue;
          this.waiting.value = news.waiting;
          this.load.value = news.load;
        });
        break;
      case "questionsChanged":
        this.questions.value = [...news.questions].sort((a, b) => a.askedAt - b.askedAt);
        break;
    }
  }

  apply(change: Change): void {
    if (change.type === "audienceChanged") this.points.value = change.points;
    else if (change.type === "agendaChanged") this.agendaVersion.value = change.version;
    else if (change.type === "noticeReceived") {
      const others = this.messages.value.filter(({ id }) => id !== change.notice.id);
      this.messages.value = [...others, change.notice].slice(-NOTICES_KEPT);
    }
  }

  /** The person has read it. */
  close(id: string): void {
    this.messages.value = this.messages.value.filter((message) => message.id !== id);
  }
}
