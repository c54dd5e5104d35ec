// Owns one picture on the page, and tells the client how large each picture is shown, so that no more than that is sent.

import type { JSX } from "preact";
import { useEffect, useRef } from "preact/hooks";
import type { TrackId } from "../protocol";
import type { Client } from "../state";
import { useClient } from "./context";

interface VideoProps {
  readonly stream: MediaStream | null;
  readonly label: string;
  readonly testId: string;
  readonly mirrored?: boolean;
  readonly track?: TrackId;
  readonly source?: string;
  readonly participant?: string;
}

/** Always without sound: sounds play through `Sounds`, so that a picture may always start by itself. */
export function Video({ stream, label, testId, mirrored = false, track, source, participant }: VideoProps): JSX.Element {
  const element = useRef<HTMLVideoElement>(null);
  useEffect(() => {
    const video = element.current;
    if (!video) return;
    if (video.srcObject !== stream) video.srcObject = stream;
    // Refused only while the element is being taken away or its stream is replaced; autoPlay starts the next one.
    if (stream) video.play().catch(() => undefined);
    return () => {
      video.srcObject = null;
    };
  }, [stream]);
  return (
    <video
      ref={element}
      class={mirrored ? "mirrored" : undefined}
      autoPlay
      playsInline
      muted
      disablePictureInPicture
      aria-label={label}
      data-testid={testId}
      data-track={track}
      data-source={source}
      data-participant={participant}
    />
  );
}

/** As `Video`, for a track of the session: reports the height at which it is seen. */
export function TrackVideo(props: VideoProps & { readonly track: TrackId }): JSX.Element {
  const client = useClient();
  const frame = useRef<HTMLDivElement>(null);
  const { track } = props;
  useEffect(() => {
    const box = frame.current;
    if (!box) return;
    return watchShownHeight(client, track, box);
  }, [client, track]);
  return (
    <div class="track-video" ref={frame}>
      <Video {...props} />
    </div>
  );
}

/** The same track may be shown twice (large, and small in the strip): the larger counts. */
const shownHeights = new WeakMap<Client, Map<TrackId, Map<Element, number>>>();

function watchShownHeight(client: Client, track: TrackId, box: HTMLElement): () => void {
  const observer = new ResizeObserver(report);
  observer.observe(box);
  document.addEventListener("visibilitychange", report);
  report();
  return () => {
    observer.disconnect();
    document.removeEventListener("visibilitychange", report);
    tell(0, true);
  };

  function report(): void {
    tell(document.hidden ? 0 : Math.round(box.clientHeight * window.devicePixelRatio), false);
  }

  function tell(heightPx: number, gone: boolean): void {
    let tracks = shownHeights.get(client);
    if (!tracks) shownHeights.set(client, (tracks = new Map<TrackId, Map<Element, number>>()));
    let heights = tracks.get(track);
    if (!heights) tracks.set(track, (heights = new Map<Element, number>()));
    if (gone) heights.delete(box);
    else heights.set(box, heightPx);
    client.setShownHeight(track, Math.max(0, ...heights.values()));
    if (heights.size === 0) tracks.delete(track);
  }
}
