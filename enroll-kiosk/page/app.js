// The page: follows the kiosk's state, shows its screen, and passes touches on.

import { call, connect } from "./server.js";
import { h, say, svg } from "./dom.js";
import { MARK, icon } from "./icons.js";
import { build, identity } from "./screens.js";
import { Panel } from "./stage.js";
import { speak, t } from "./texts.js";

const STEPS = 5;
const TOUCH_EVERY_MS = 4000;
// As long as a session without a touch lasts by default.
const UNANSWERED_MS = 60000;
const at = (id) => document.getElementById(id);

let state = null;
let screen = null;
let shown = "";
let framed = "";
let online = true;
let fresh = true;
let turn = Promise.resolve();
let touched = 0;
let unanswered;
const panel = new Panel(at("stage"));

const actions = {
  /** Sends a request and shows the state that it answers. */
  async act(method, path, body) {
    const answer = await call(method, path, body);
    if (answer.state) show(answer.state);
    if (answer.error) at("assertive").textContent = t("error.unexpected");
  },
  /** Ends the session and starts another. */
  async again(path) {
    // Ending a session brings the shop's own language back.
    const { language } = state;
    await call("DELETE", "/api/session");
    await actions.act("POST", path, { language });
  },
  /** Speaks to a screen reader without moving anything. */
  announce: (text) => say(at("polite"), text),
};

/** Shows `next` once what is being shown now is there: states come faster than texts load. */
function show(next) {
  turn = turn.then(() => render(next)).catch((error) => console.error(error));
  return turn;
}

async function render(next) {
  // An answer can be overtaken by the connection; the count starts anew with the kiosk's process.
  if (state && next.change < state.change && !fresh) return;
  fresh = false;
  state = next;
  document.body.dataset.screen = online ? next.screen : "unavailable";
  const frame = [next.language, next.step, next.screen, next.stage].join("|");
  if (framed !== frame) {
    await speak(next.language);
    framed = frame;
    surround(next);
  }
  const shownState = online ? next : { ...next, screen: "unavailable", missing: "offline" };
  const key = identity(shownState);
  if (key === shown) screen.follow(shownState);
  else {
    shown = key;
    // A question about the screen before is over with it.
    if (at("removal").open) at("removal").close();
    screen = build(shownState, actions);
    const content = at("content");
    content.replaceChildren(screen.element);
    content.scrollTop = 0;
    content.querySelector("h1")?.focus({ preventScroll: true });
  }
  countDown(next.countdown_seconds);
}

/** Everything around the screen: languages, steps, the ways that are always open. */
function surround(next) {
  say(at("skip"), t("skip-link"));
  if (!at("mark").firstChild) at("mark").append(svg(MARK));
  const languages = at("languages");
  languages.setAttribute("aria-label", t("language.label"));
  const NAMES = { en: "English", fr: "Français", de: "Deutsch" };
  const focused = document.activeElement?.lang;
  languages.replaceChildren(...next.languages.map((language) =>
    h("button", {
      type: "button", lang: language, id: `language-${language}`, title: NAMES[language],
      "aria-label": NAMES[language], "aria-pressed": String(language === next.language),
      click: () => actions.act("POST", "/api/language", { language }),
    }, language.toUpperCase())));
  if (focused) at(`language-${focused}`)?.focus();

  const steps = at("steps");
  steps.hidden = next.step === null;
  steps.setAttribute("aria-label", t("steps.label"));
  steps.replaceChildren(h("ol", {}, Array.from({ length: STEPS }, (_, number) => {
    const step = number + 1;
    const when = step < next.step ? "past" : step === next.step ? "now" : "ahead";
    return h("li", { class: when, "aria-current": when === "now" ? "step" : null },
      h("span", { class: "dot", "aria-hidden": "true" }, when === "past" ? svg(icon("check")) : String(step)),
      h("span", { class: "name" }, t(`step.${step}`)));
  })));

  const under = next.step !== null && next.screen !== "result";
  const way = (id, symbol, label, click) => h("button", { type: "button", class: "way", id, click }, svg(icon(symbol)), h("span", {}, label));
  at("ways").replaceChildren(...[
    under || next.screen === "removal" ? way("start-over", "cross", t("action.start-over"), () => actions.act("DELETE", "/api/session")) : null,
    next.screen === "declined" ? null : way("without-palm", "card", t("action.without-palm"), () => actions.act("POST", "/api/session/decline")),
    ["removal", "removed"].includes(next.screen) ? null : way("remove-me", "bin", t("action.remove-me"), confirmRemoval),
  ].filter(Boolean));
  panel.show(next);
}

function countDown(seconds) {
  const dialog = at("idle");
  if (seconds === null) {
    if (dialog.open) dialog.close();
    return;
  }
  if (!dialog.open) {
    dialog.replaceChildren(
      h("p", { class: "clock", "aria-hidden": "true" }),
      h("h2", { id: "idle-title" }, t("idle.title")),
      h("p", { id: "idle-text" }),
      h("div", { class: "choices" },
        h("button", { type: "button", class: "button secondary", id: "leave", click: () => actions.act("DELETE", "/api/session") }, t("idle.leave")),
        h("button", { type: "button", class: "button primary", id: "stay", click: () => actions.act("POST", "/api/touch") }, t("idle.stay"))));
    dialog.showModal();
    at("stay").focus();
    at("assertive").textContent = t("idle.title");
  }
  say(dialog.querySelector(".clock"), String(seconds));
  say(at("idle-text"), t("idle.text", { seconds }));
}

function confirmRemoval() {
  const dialog = at("removal");
  dialog.replaceChildren(
    h("h2", { id: "removal-title" }, t("removal.confirm.title")),
    h("p", { id: "removal-text" }, t("removal.confirm.text")),
    h("div", { class: "choices" },
      h("button", { type: "button", class: "button secondary", id: "keep", click: () => dialog.close() }, t("removal.confirm.no")),
      h("button", {
        type: "button", class: "button danger", id: "remove",
        click: () => { dialog.close(); actions.again("/api/removal"); },
      }, t("removal.confirm.yes"))));
  dialog.showModal();
  at("keep").focus();
  // Whoever comes next must not find somebody else's question.
  clearTimeout(unanswered);
  unanswered = setTimeout(() => dialog.close(), UNANSWERED_MS);
}

/** Tells the kiosk that somebody is there; often enough, and at once while it counts down. */
function somebodyThere() {
  const now = Date.now();
  const waits = state?.countdown_seconds === null && now - touched < TOUCH_EVERY_MS;
  if (!state || state.screen === "welcome" || waits) return;
  touched = now;
  call("POST", "/api/touch");
}

for (const event of ["pointerdown", "keydown", "wheel"]) addEventListener(event, somebodyThere, { passive: true });
addEventListener("contextmenu", (event) => event.preventDefault());
at("idle").addEventListener("cancel", () => actions.act("POST", "/api/touch"));

connect(
  show,
  (jpeg) => {
    screen?.picture?.canvas.show(jpeg);
    panel.picture(jpeg, Boolean(screen?.picture));
  },
  (standing) => {
    if (online === standing) return;
    online = standing;
    fresh = true;
    if (state) show(state);
  },
);
