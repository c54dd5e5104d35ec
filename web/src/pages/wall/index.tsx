// Owns the organiser's wall: all points by province with search and filters, and the desk beside them.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { Icon } from "../../components/icons";
import { FILTERS, passes } from "../../event/tiles";
import type { Group } from "../../event/tiles";
import { formatNumber, t } from "../../i18n";
import { eventLink } from "../link";
import { headcount } from "../session/eventbands";
import { Actions, Replacing } from "./actions";
import { Desk } from "./desk";
import { LoadMeaning, LoadSign } from "./load";
import { PointTile } from "./tile";
import type { Wall } from "./wall";

export function WallPage({ wall }: { readonly wall: Wall }): JSX.Element {
  useEffect(() => wall.look(), [wall]);
  const content = useRef<HTMLElement>(null);
  useEffect(() => content.current?.focus(), []);
  const groups = wall.groups.value;
  return (
    <>
      <main ref={content} id="content" class="wall" aria-label={t("wall.title")} data-testid="wall" tabIndex={-1}>
        <Head wall={wall} />
        <LoadMeaning wall={wall} />
        {wall.stills.failing.value && (
          <p class="wall-trouble" role="status">
            <Icon name="warning" />
            {t("wall.failing")}
          </p>
        )}
        <div class="wall-groups">
          {groups.map((group) => (
            <Province key={group.name} group={group} wall={wall} />
          ))}
          {groups.length === 0 && <p class="wall-none">{t(wall.tiles.value.length === 0 ? "wall.nobody" : "wall.nothingFound")}</p>}
        </div>
      </main>
      <Desk wall={wall} />
      <Actions wall={wall} />
      <Replacing wall={wall} />
    </>
  );
}

function Head({ wall }: { readonly wall: Wall }): JSX.Element {
  const { client } = wall.room;
  const tiles = wall.tiles.value;
  const here = client.event.points.value;
  const invited = wall.invited.value;
  const points = invited > 0 ? t("wall.pointsOf", { here: formatNumber(here), count: invited }) : t("event.points", { count: here });
  return (
    <header class="wall-head">
      <p class="wall-counts" data-testid="wall-counts">
        {points}, {t("people.count", { count: headcount(client) })}
      </p>
      <LoadSign wall={wall} />
      {/* In a tab of its own: the session goes on here. */}
      <a class="button quiet small" href={eventLink(wall.room.token)} target="_blank" rel="noopener noreferrer" data-testid="to-event-page">
        <Icon name="log" />
        {t("wall.event")}
      </a>
      <input
        type="search"
        class="wall-search"
        data-testid="wall-search"
        aria-label={t("wall.search")}
        placeholder={t("wall.search")}
        value={wall.search.value}
        onInput={(event) => (wall.search.value = event.currentTarget.value)}
      />
      <div class="wall-filters" role="group" aria-label={t("wall.filter")}>
        {FILTERS.map((filter) => (
          <button
            key={filter}
            type="button"
            class="button small"
            data-testid={`filter-${filter}`}
            aria-pressed={wall.filter.value === filter}
            onClick={() => (wall.filter.value = filter)}
          >
            {t(`wall.filter.${filter}`)}
            <span class="wall-filter-count">{formatNumber(tiles.filter((tile) => passes(tile, filter)).length)}</span>
          </button>
        ))}
      </div>
    </header>
  );
}

function Province({ group, wall }: { readonly group: Group; readonly wall: Wall }): JSX.Element {
  const { pictures, levels } = wall.stills;
  const chosen = wall.chosen.value;
  const choosing = wall.choosing.value;
  return (
    <section class="wall-group" data-testid="wall-group">
      <h2>
        {group.name === "" ? t("wall.noProvince") : group.name}
        <span class="wall-group-count">
          {formatNumber(group.here)}/{formatNumber(group.tiles.length)}
        </span>
      </h2>
      <ul>
        {group.tiles.map((tile) => (
          <PointTile
            key={tile.id}
            tile={tile}
            picture={pictures.value.get(tile.id) ?? null}
            levelDbov={levels.value.get(tile.id) ?? null}
            chosen={chosen.has(tile.id)}
            choosing={choosing}
            wall={wall}
          />
        ))}
      </ul>
    </section>
  );
}
