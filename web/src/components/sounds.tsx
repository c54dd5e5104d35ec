// Owns the sound of the session: plays every sound that others send, and asks for a press where the browser keeps it off.

import { signal } from "@preact/signals";
import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import { t } from "../i18n";
import type { ParticipantId } from "../protocol";
import { useClient } from "./context";
import { Icon } from "./icons";

/** Autoplay was refused; one press anywhere near us lifts it for the whole page. */
const blocked = signal(false);

/** `quiet`: who is not heard here. */
export function Sounds({ quiet = null }: { readonly quiet?: ParticipantId | null }): JSX.Element {
  const client = useClient();
  const room = useRef<HTMLDivElement>(null);
  const sounds = client.tracks.value.filter((track) => track.kind === "audio" && !track.own && track.stream !== null && track.participant !== quiet);
  return (
    <>
      <div ref={room} hidden>
        {sounds.map((track) => (
          <Sound key={track.id} stream={track.stream} participant={track.participant} source={track.source} />
        ))}
      </div>
      {blocked.value && (
        <div class="sound-blocked">
          <button type="button" class="button primary large" data-testid="sound-button" onClick={() => unblock(room.current)}>
            <Icon name="sound" />
            {t("session.turnSoundOn")}
          </button>
          <span>{t("session.soundBlocked")}</span>
        </div>
      )}
    </>
  );
}

interface SoundProps {
  readonly stream: MediaStream | null;
  readonly participant: string;
  readonly source: string;
}

function Sound({ stream, participant, source }: SoundProps): JSX.Element {
  const element = useRef<HTMLAudioElement>(null);
  useEffect(() => {
    const audio = element.current;
    if (!audio || !stream) return;
    audio.srcObject = stream;
    play(audio);
    return () => {
      audio.srcObject = null;
    };
  }, [stream]);
  return <audio ref={element} data-testid="sound" data-participant={participant} data-source={source} />;
}

function play(audio: HTMLAudioElement): void {
  audio.play().then(
    () => (blocked.value = false),
    (error: unknown) => {
      if (error instanceof DOMException && error.name === "NotAllowedError") blocked.value = true;
    },
  );
}

function unblock(room: HTMLElement | null): void {
  blocked.value = false;
  room?.querySelectorAll("audio").forEach(play);
}
