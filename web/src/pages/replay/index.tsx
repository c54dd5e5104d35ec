// Owns the way into replay: by the link, the list of recordings or one of them.

import type { JSX } from "preact";
import { useMemo } from "preact/hooks";
import { createReplayApi } from "../../replay/api";
import { Refusal } from "../outcome";
import { RecordingsPage } from "./list";
import { ReplayRoom } from "./replay";

interface ReplayPageProps {
  readonly token: string;
  /** "" lists what there is. */
  readonly recording: string;
}

export function ReplayPage({ token, recording }: ReplayPageProps): JSX.Element {
  const api = useMemo(() => createReplayApi(token), [token]);
  if (token === "") return <Refusal code="notAuthorised" onAgain={null} />;
  return recording === "" ? <RecordingsPage api={api} token={token} /> : <ReplayRoom api={api} token={token} id={recording} />;
}
