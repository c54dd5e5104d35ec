// Owns one point's small picture on the wall: who it is, how its line is, whether it speaks or asks, and what a press does.

import type { JSX } from "preact";
import { Icon, LineBars } from "../../components/icons";
import { t } from "../../i18n";
import type { Tile } from "../../event/tiles";
import { initials } from "../view";
import type { Wall } from "./wall";

/** Names the point that a key means. */
export const TILE = "data-tile";
/** The bar's left end; quieter is silence. */
const QUIET_DBOV = -60;

interface TileProps {
  /** The same as long as nothing about the point changes, so that two hundred of them are not drawn for one. */
  readonly tile: Tile;
  readonly picture: string | null;
  readonly levelDbov: number | null;
  readonly chosen: boolean;
  readonly choosing: boolean;
  readonly wall: Wall;
}

export function PointTile({ tile, picture, levelDbov, chosen, choosing, wall }: TileProps): JSX.Element {
  const { id, title, person } = tile;
  if (!tile.here) {
    return (
      <li class="wall-tile absent" data-testid="wall-absent">
        <span class="wall-name">{title}</span>
        <span class="wall-person">{t("wall.absent")}</span>
      </li>
    );
  }
  const state = stateWord(tile);
  return (
    <li class="wall-tile" data-testid="wall-tile" {...{ [TILE]: id }} data-participant={id} data-state={state ?? "none"} data-connected={tile.connected}>
      <button
        type="button"
        class="wall-press"
        data-testid="wall-press"
        aria-pressed={choosing ? chosen : tile.next}
        onClick={() => (tile.onStage && !choosing ? (wall.acting.value = id) : wall.press(id))}
      >
        <span class="wall-picture">
          {picture !== null && tile.connected ? (
            <img src={picture} alt="" width="192" height="108" decoding="async" data-testid="wall-picture" />
          ) : (
            <span class="wall-initials" aria-hidden="true">
              {tile.camera ? initials(title) : <Icon name="cameraOff" />}
            </span>
          )}
          {state !== null && <span class="wall-state">{t(`wall.state.${state}`)}</span>}
          {tile.hand > 0 && (
            <span class="wall-hand" data-testid="wall-hand">
              <Icon name="hand" />
              <span aria-hidden="true">{tile.hand}</span>
              <span class="unseen">{t("session.handNumber", { number: tile.hand })}</span>
            </span>
          )}
          {choosing && chosen && (
            <span class="wall-chosen">
              <Icon name="check" />
            </span>
          )}
        </span>
        <span class="wall-level" aria-hidden="true">
          <span style={{ width: `${levelDbov === null ? 0 : Math.round((1 - levelDbov / QUIET_DBOV) * 100)}%` }} />
        </span>
        <span class="wall-name">{title}</span>
        {person !== "" && <span class="unseen">{person}</span>}
      </button>
      <span class="wall-foot">
        <Signs tile={tile} />
        <button
          type="button"
          class="button quiet wall-more"
          data-testid="wall-more"
          aria-label={t("wall.more", { name: title })}
          onClick={() => (wall.acting.value = id)}
        >
          <Icon name="more" />
        </button>
      </span>
    </li>
  );
}

function Signs({ tile }: { readonly tile: Tile }): JSX.Element {
  const quality = tile.connected ? tile.quality : 0;
  return (
    <span class="wall-signs">
      <span class="sign line" data-quality={quality ?? "unknown"}>
        <LineBars quality={quality} />
        {quality !== null && quality < 3 && <span aria-hidden="true">{t(`quality.short.${quality}`)}</span>}
        <span class="unseen">{t(`quality.${quality ?? "unknown"}`)}</span>
      </span>
      <span class="sign">
        <Icon name={tile.microphone === "on" ? "microphone" : "microphoneOff"} />
        <span class="unseen">{t(`wall.microphone.${tile.microphone}`)}</span>
      </span>
    </span>
  );
}

/** The one word that matters most; the picture stays free of the rest. */
function stateWord(tile: Tile): "away" | "next" | "stage" | null {
  if (!tile.connected) return "away";
  if (tile.next) return "next";
  return tile.onStage ? "stage" : null;
}
