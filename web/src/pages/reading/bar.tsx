// Owns the line above the pictures: who leads, what one can do about it, and how far the pictures are at the other points.

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";
import { useId } from "preact/hooks";
import { ask } from "../../components/context";
import { place } from "../../components/focus";
import { Icon } from "../../components/icons";
import type { IconName } from "../../components/icons";
import { singleKeys } from "../../components/preferences";
import { formatNumber, t } from "../../i18n";
import type { Participant, ParticipantId } from "../../protocol";
import type { Room } from "../session/room";
import { lagging } from "./sharpness";

/** More names than these would push the pictures away. */
const NAMES_SHOWN = 3;

export function ReadingBar({ room }: { readonly room: Room }): JSX.Element {
  const { together, client } = room;
  const extra = useId();
  const open = useSignal(false);
  return (
    <div class="reading-bar" role="group" aria-label={t("reading.who")} data-testid="reading-bar" {...place("reading-bar", '[data-command="studies"]')}>
      <span class="reading-who" role="status" data-testid="reading-who" data-own={together.leads.value}>
        <Icon name={together.freely.value ? "people" : "pointer"} />
        <span>{whoLeads(room)}</span>
      </span>
      <MainDeed room={room} />
      {/* Only where the rest does not fit beside it. */}
      <button
        type="button"
        class="button small quiet reading-more"
        data-testid="reading-more"
        aria-expanded={open.value}
        aria-controls={extra}
        onClick={() => (open.value = !open.peek())}
      >
        <Icon name="more" />
        {t("control.more")}
      </button>
      <div id={extra} class={open.value ? "reading-extra open" : "reading-extra"}>
        {together.leads.value ? <HandOver room={room} /> : <LeadDeed room={room} />}
        <Sharpness room={room} />
        <button type="button" class="button small quiet reading-close" data-testid="reading-close" onClick={() => together.close()}>
          <Icon name="close" />
          {t(together.leads.value && client.reading.readers.value.length > 1 ? "reading.closeAll" : "reading.close")}
        </button>
      </div>
    </div>
  );
}

function whoLeads({ together, client, people }: Room): string {
  const leader = client.reading.leader.value;
  if (together.leads.value) return t("reading.youLead");
  if (leader === null) return t("reading.nobody");
  const name = people.value.get(leader)?.name ?? "";
  return together.freely.value ? t("reading.freely", { name }) : t("reading.leads", { name });
}

interface DeedProps {
  readonly icon: IconName;
  readonly word: string;
  readonly testId: string;
  readonly run: () => void;
  readonly primary?: boolean;
  readonly keyShortcut?: string;
}

function Deed({ icon, word, testId, run, primary = false, keyShortcut }: DeedProps): JSX.Element {
  return (
    <button
      type="button"
      class={primary ? "button small primary" : "button small"}
      data-testid={testId}
      aria-keyshortcuts={keyShortcut !== undefined && singleKeys.value ? keyShortcut : undefined}
      onClick={run}
    >
      <Icon name={icon} />
      {word}
    </button>
  );
}

/** What comes first to mind in each state. */
function MainDeed({ room }: { readonly room: Room }): JSX.Element | null {
  const { client, together, people } = room;
  const leader = client.reading.leader.value;
  if (together.leads.value) return <Asking room={room} />;
  if (leader === null) return <Deed icon="pointer" word={t("reading.lead")} testId="ask-lead" primary run={() => together.lead()} />;
  if (together.freely.value) {
    const name = people.value.get(leader)?.name ?? "";
    return <Deed icon="back" word={t("reading.comeBack", { name })} testId="come-back" primary keyShortcut="X" run={() => together.goAlong()} />;
  }
  return <Deed icon="people" word={t("reading.lookFreely")} testId="look-freely" keyShortcut="X" run={() => together.lookFreely()} />;
}

function Asking({ room }: { readonly room: Room }): JSX.Element | null {
  const { client, together, people } = room;
  const first = people.value.get(client.reading.asking.value[0] ?? "");
  const more = client.reading.asking.value.length - 1;
  if (first === undefined) return null;
  return (
    <span class="reading-asks" data-testid="reading-asks">
      <span>
        {t("reading.asks", { name: first.name })}
        {more > 0 && ` +${formatNumber(more)}`}
      </span>
      <Deed icon="check" word={t("reading.giveYes")} testId="give-lead" primary run={() => together.give(first.id)} />
      <Deed icon="close" word={t("reading.turnDown")} testId="turn-down" run={() => ask(client.askLead(false, first.id))} />
    </span>
  );
}

/** Of who does not lead while another does. */
function LeadDeed({ room }: { readonly room: Room }): JSX.Element | null {
  const { client, together } = room;
  if (client.reading.leader.value === null) return null;
  if (client.permissions.value.has("moderate")) {
    return <Deed icon="pointer" word={t("reading.takeLead")} testId="take-lead" run={() => together.give(client.self.value?.id ?? null)} />;
  }
  const asks = client.reading.asking.value.includes(client.self.value?.id ?? "");
  return (
    <Deed
      icon={asks ? "undo" : "hand"}
      word={t(asks ? "reading.askNoMore" : "reading.askLead")}
      testId="ask-lead"
      run={() => ask(client.askLead(!asks))}
    />
  );
}

/** To anybody who reads: the others of the session who may, but for devices, which answer nothing. */
function HandOver({ room }: { readonly room: Room }): JSX.Element | null {
  const id = useId();
  const { client, together, people } = room;
  const own = client.self.value?.id;
  const others = [...people.value.values()].filter((person) => person.id !== own && person.role !== "viewer" && person.connected);
  if (others.length === 0) return null;
  return (
    <span class="reading-give">
      <label class="unseen" for={id}>
        {t("reading.give")}
      </label>
      <select
        id={id}
        class="select small"
        data-testid="hand-over"
        value=""
        onChange={(event) => {
          const chosen: ParticipantId = event.currentTarget.value;
          event.currentTarget.value = "";
          if (chosen !== "") together.give(chosen);
        }}
      >
        <option value="">{t("reading.give")}</option>
        {others.map((person) => (
          <option key={person.id} value={person.id}>
            {called(person)}
          </option>
        ))}
      </select>
    </span>
  );
}

function Sharpness({ room }: { readonly room: Room }): JSX.Element | null {
  const { client, people, together } = room;
  const readers = client.reading.readers.value;
  if (together.stage.value !== "open" || readers.length === 0) return null;
  const late = lagging(readers);
  const names = late.slice(0, NAMES_SHOWN).map(({ participant, share }) => {
    const person = people.value.get(participant);
    const name = person === undefined ? "" : participant === client.self.value?.id ? t("session.you") : called(person);
    return share === null ? name : `${name} ${formatNumber(share * 100)} %`;
  });
  const more = late.length > NAMES_SHOWN ? ` +${formatNumber(late.length - NAMES_SHOWN)}` : "";
  return (
    <span class="reading-sharp" data-testid="reading-sharp" data-late={late.length}>
      <Icon name={late.length === 0 ? "check" : "clock"} />
      <span>{late.length === 0 ? t("reading.allSharp", { count: readers.length }) : t("reading.notSharp", { names: `${names.join(", ")}${more}` })}</span>
    </span>
  );
}

/** A point is known by its name; where it has none, by the person. */
function called({ point, name }: Participant): string {
  return point === "" ? name : point;
}
