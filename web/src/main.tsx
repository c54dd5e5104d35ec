// Owns the start of the page: language, theme, the address, and one client where the address is a link into a session.

import "@fontsource/inter/400.css";
import "@fontsource/inter/600.css";
import "./styles/base.css";
import "./styles/controls.css";
import "./styles/pages.css";
import "./styles/join.css";
import "./styles/sessions.css";
import "./styles/session.css";
import "./styles/side.css";
import "./styles/panels.css";
import "./styles/bar.css";
import "./styles/sizes.css";
import "./styles/recording.css";
import "./styles/replay.css";
import "./styles/reader.css";
import "./styles/reading.css";
import "./styles/studies.css";
import "./styles/waveform.css";
import "./styles/keeping.css";
import "./styles/event.css";
import "./styles/wall.css";
import "./styles/eventpage.css";
import "./styles/eventpoints.css";
import "./styles/sheets.css";
import "./styles/show.css";
import "./styles/linecheck.css";
import "./styles/eventchecks.css";
import "./styles/eventafter.css";
import { render } from "preact";
import { createClient } from "./client";
import { keepFocus } from "./components/focus";
import { openStorage, startPreferences } from "./components/preferences";
import { startLanguage, t } from "./i18n";
import { App } from "./pages/app";
import { readLink } from "./pages/link";

async function start(): Promise<void> {
  startPreferences();
  keepFocus(document);
  await startLanguage(openStorage(), navigator.languages);
  document.title = t("app.name");
  const link = readLink(location.pathname, location.hash);
  const client = link.page === "join" ? createClient() : null;
  if (client && link.token !== "") client.resume(link.token);
  // Another link pasted into the same tab changes only the fragment, which loads nothing by itself.
  window.addEventListener("hashchange", () => location.reload());
  window.addEventListener("pagehide", () => client?.dispose());
  // Taken out of the browser's cache of left pages, this one would be without its client.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
  const place = document.getElementById("app");
  if (place) render(<App link={link} client={client} />, place);
}

void start();
