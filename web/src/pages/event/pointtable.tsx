// Owns the table of points by province: where each is, whom to call, how it stands, and its link to copy.

import type { JSX } from "preact";
import { Icon } from "../../components/icons";
import { formatWhen, t } from "../../i18n";
import { CopyLink } from "../invites";
import type { EventDesk } from "./desk";
import { shownName } from "./model";
import type { EventPoint, Province } from "./model";

interface TableProps {
  readonly desk: EventDesk;
  readonly groups: readonly Province[];
  readonly onOpen: (point: EventPoint) => void;
  readonly onSheet: (point: EventPoint) => void;
}

export function PointTable({ desk, groups, onOpen, onSheet }: TableProps): JSX.Element {
  return (
    <div class="point-groups" data-testid="points">
      {groups.map(({ name, points }) => (
        <section key={name.toLocaleLowerCase()} aria-label={name === "" ? t("event.noProvince") : name}>
          <h2 class="point-province">
            {name === "" ? t("event.noProvince") : name} <small>{t("event.points", { count: points.length })}</small>
          </h2>
          <ul>
            {points.map((point) => (
              <PointRow key={point.id} desk={desk} point={point} onOpen={onOpen} onSheet={onSheet} />
            ))}
          </ul>
        </section>
      ))}
    </div>
  );
}

interface RowProps {
  readonly desk: EventDesk;
  readonly point: EventPoint;
  readonly onOpen: (point: EventPoint) => void;
  readonly onSheet: (point: EventPoint) => void;
}

function PointRow({ desk, point, onOpen, onSheet }: RowProps): JSX.Element {
  const title = point.name === "" ? point.organisation : point.name;
  return (
    <li class="point-row" data-testid="point-row" data-point={point.id}>
      <span class="point-where">
        <strong>{title}</strong>
        {title !== point.organisation && point.organisation !== "" && <span>{point.organisation}</span>}
      </span>
      <span class="point-contact">{point.contact}</span>
      <PointState desk={desk} point={point} />
      <span class="point-deeds" role="group" aria-label={shownName(point)}>
        {desk.manages && !point.revoked && <CopyLink role="satellite" link={() => desk.api.link(point.id)} />}
        {desk.manages && !point.revoked && (
          <button type="button" class="button quiet" data-testid="point-sheet" onClick={() => onSheet(point)}>
            <Icon name="print" />
            {t("event.sheet")}
          </button>
        )}
        {desk.changes && (
          <button type="button" class="button quiet" data-testid="edit-point" onClick={() => onOpen(point)}>
            <Icon name="note" />
            {t("event.edit")}
          </button>
        )}
      </span>
    </li>
  );
}

/** What the organiser has to know of it; nothing where all is as it should be. */
function PointState({ desk, point }: { readonly desk: EventDesk; readonly point: EventPoint }): JSX.Element {
  const { startsAt, state } = desk.event.value;
  const until = Math.max(startsAt ?? 0, Date.now());
  return (
    <span class="point-state">
      {point.connected && (
        <span class="point-here">
          <Icon name="check" />
          {t("event.here")}
        </span>
      )}
      {point.revoked && (
        <span class="point-warning">
          <Icon name="warning" />
          {t("event.linkWithdrawn")}
        </span>
      )}
      {!point.revoked && point.expiresAt < until && state === "open" && (
        <span class="point-warning">
          <Icon name="warning" />
          {t("event.linkEnds", { when: formatWhen(point.expiresAt, Date.now()) })}
        </span>
      )}
      {point.check !== null && (
        <span class="point-grade" data-grade={point.check.grade}>
          <Icon name="line" />
          {t(`event.grade.${point.check.grade}`)}
        </span>
      )}
    </span>
  );
}
