// One function a screen: what it shows, and how it follows the state while it is up.

import { call } from "./server.js";
import { h, say, svg } from "./dom.js";
import { icon, palm } from "./icons.js";
import { secondFactor } from "./keys.js";
import { LivePicture } from "./picture.js";
import { t } from "./texts.js";

const button = (kind, label, click, symbol, attributes = {}) =>
  h("button", { type: "button", class: `button ${kind}`, click, ...attributes }, symbol ? svg(icon(symbol)) : null, h("span", {}, label));

const title = (text, attributes = {}) => h("h1", { tabindex: "-1", ...attributes }, text);

const still = () => {};

/** Builds the screen of `state`; answers its element and how it follows later states. */
export function build(state, actions) {
  const factor = (now, { act }) => secondFactor(now, { act }, button, title);
  const make = {
    welcome, notice, hands, capture, enrolling, "second-factor": factor, payment, result, removal, removed, unavailable, declined,
  };
  return make[state.screen](state, actions);
}

/** What has to stay the same for a screen to be followed instead of built anew. */
export function identity(state) {
  const capture = state.capture ? `${state.capture.purpose} ${state.capture.hand}` : "";
  const payment = state.payment?.display ? "asked" : "";
  return [state.screen, state.language, state.session, capture, payment, state.result?.kind, state.missing].join("|");
}

function welcome(state, { act }) {
  const fact = (symbol, key) => h("li", {}, svg(icon(symbol)), h("span", {}, t(key)));
  return {
    follow: still,
    element: h("section", { class: "screen welcome" },
      h("div", { class: "hero", "aria-hidden": "true" }, h("span", { class: "wave" }), h("span", { class: "wave" }), svg(palm("right"))),
      h("div", { class: "words" },
        title(t("welcome.title")),
        h("p", { class: "lead" }, t("welcome.text")),
        button("primary large", t("welcome.start"), () => act("POST", "/api/session", { language: state.language }), "arrow", { id: "start" }),
        h("ul", { class: "facts" }, fact("nophoto", "welcome.fact.1"), fact("card", "welcome.fact.2"), fact("bin", "welcome.fact.3")))),
  };
}

function notice(state, { act }) {
  const sections = h("div", { class: "sections", tabindex: "0", role: "region" });
  const reading = h("div", { class: "reading read" }, sections, h("p", { class: "more", "aria-hidden": "true" }, t("notice.more")));
  const read = () => reading.classList.toggle("read", sections.scrollTop + sections.clientHeight > sections.scrollHeight - 12);
  sections.addEventListener("scroll", read, { passive: true });
  const release = h("p", { class: "release", id: "release" });
  const agree = button("primary", t("notice.agree"), () => {}, "check", { id: "agree", disabled: true, "aria-describedby": "release" });
  const heading = title(t("notice.title"), { id: "notice-title" });
  sections.setAttribute("aria-labelledby", "notice-title");
  // The text comes from the process that hashes it, so that what is shown is what is recorded.
  call("GET", `/api/notice?language=${state.language}`).then(({ state: text }) => {
    if (!text?.sections) return;
    say(heading, text.title);
    sections.append(
      h("div", { class: "columns" },
        text.sections.map(({ heading, text }) => h("article", {}, h("h2", {}, heading), h("p", {}, text))),
        h("p", { class: "version" }, t("notice.version", { version: text.policy_version }))));
    say(release, text.release);
    read();
    agree.disabled = false;
    agree.addEventListener("click", () => act("POST", "/api/session/consent", { accepted: true, text_sha256: text.text_sha256 }));
  });
  return {
    follow: still,
    element: h("section", { class: "screen notice" }, heading, reading,
      h("div", { class: "agree" }, release,
        h("div", { class: "choices" },
          button("secondary", t("notice.decline"), () => act("POST", "/api/session/consent", { accepted: false }), "cross", { id: "disagree" }),
          agree))),
  };
}

function hands(state, { act }) {
  const choose = (...chosen) => () => act("POST", "/api/session/hands", { hands: chosen });
  const card = (id, label, chosen, ...palms) =>
    h("button", { type: "button", class: "card", id, click: choose(...chosen) }, h("span", { class: "palms" }, palms.map((position) => svg(palm(position)))), h("span", {}, label));
  const both = card("hands-both", t("hands.both"), ["left", "right"], "right", "left");
  both.classList.add("wide");
  both.append(h("span", { class: "badge" }, t("hands.both.note")));
  return {
    follow: still,
    element: h("section", { class: "screen hands" }, title(t("hands.title")), h("p", { class: "lead" }, t("hands.text")), both,
      h("div", { class: "one", role: "group", "aria-labelledby": "one-hand" },
        h("h2", { id: "one-hand" }, t("hands.one")),
        h("div", { class: "choices" },
          card("hands-left", t("hands.left"), ["left"], "right"),
          card("hands-right", t("hands.right"), ["right"], "left")))),
  };
}

function capture(state, { announce }) {
  return capturing(state.capture, state.mirror_picture, announce);
}

function removal(state, { announce }) {
  if (state.capture) return capturing(state.capture, state.mirror_picture, announce);
  return { follow: still, element: waiting(t("removal.working"), t("removal.working.text")) };
}

function capturing(first, mirrored, announce) {
  const picture = new LivePicture(t("capture.picture"), first.hand, mirrored);
  const symbol = h("span", { class: "symbol", "aria-hidden": "true" });
  const advice = h("p", { class: "advice" });
  const views = h("p", { class: "views" });
  let shown = "";
  const follow = ({ capture }) => {
    picture.update(capture);
    const done = capture.captured >= capture.wanted;
    const key = capture.guidance ?? (capture.hand_present || done ? "good" : "show-hand");
    say(views, t("capture.views", capture));
    if (shown === key) return;
    shown = key;
    symbol.replaceChildren(svg(icon(key)));
    say(advice, t(`guidance.${key}`));
    symbol.parentElement.dataset.kind = key === "good" ? "well" : key === "show-hand" ? "calm" : "advice";
    announce(t(`guidance.${key}`));
  };
  const element = h("section", { class: "screen capture" },
    h("div", { class: "head" },
      first.hands > 1 ? h("p", { class: "eyebrow" }, t("capture.hand-of", { number: first.hand_number, hands: first.hands })) : null,
      title(t(`capture.title.${first.hand ?? "any"}`))),
    picture.element,
    h("div", { class: "guide" },
      h("div", { class: "now" }, symbol, advice),
      views,
      h("p", { class: "hint" }, t("capture.hint"))));
  follow({ capture: first });
  return { element, follow, picture };
}

function enrolling() {
  return { follow: still, element: waiting(t("enrolling.title"), t("enrolling.text")) };
}

const waiting = (heading, text) =>
  h("section", { class: "screen waiting centred" }, h("div", { class: "spinner", "aria-hidden": "true" }, svg(palm("right"))), title(heading), h("p", { class: "lead" }, text));

function payment(state, { act }) {
  const display = state.payment?.display;
  if (!display) return { follow: still, element: waiting(t("payment.title"), t("payment.preparing")) };
  const problem = h("p", { class: "problem", id: "problem", role: "alert" });
  const busy = h("p", { class: "busy", role: "status" });
  const fields = (display.fields ?? []).map((field) => {
    const input = h("input", {
      id: field.name, name: field.name, maxlength: field.length_max, autocomplete: "off", autocapitalize: "none",
      spellcheck: "false", "aria-describedby": `${field.name}-help problem`,
    });
    return h("div", { class: "field" }, h("label", { for: field.name }, t(field.label_key)), input, h("p", { class: "help", id: `${field.name}-help` }, t(field.help_key)));
  });
  const send = button("primary", t(display.kind === "form" ? "payment.link" : "payment.scanned"), () => {}, "card", { id: "pay", type: "submit" });
  const skip = button("secondary", t("payment.skip"), () => act("POST", "/api/session/payment", { skip: true }), "door", { id: "skip-payment" });
  const form = h("form", {
    class: "form", novalidate: true,
    submit: (event) => {
      event.preventDefault();
      act("POST", "/api/session/payment", Object.fromEntries(new FormData(form)));
    },
  }, fields, display.kind === "link" ? link(display) : null, problem, busy,
    h("div", { class: "choices" }, state.payment.skippable ? skip : null, send));
  const follow = ({ payment }) => {
    say(problem, payment.error ? t(payment.error.message_key) : "");
    form.classList.toggle("refused", Boolean(payment.error));
    for (const input of form.querySelectorAll("input")) input.setAttribute("aria-invalid", Boolean(payment.error));
    say(busy, payment.busy ? t("payment.busy") : "");
    send.disabled = skip.disabled = payment.busy;
  };
  follow(state);
  return { follow, element: h("section", { class: "screen payment" }, title(t("payment.title")), h("p", { class: "lead" }, t("payment.text")), form) };
}

function link({ url, qr }) {
  const code = qr
    ? svg(`<svg class="code" viewBox="0 0 ${Number(qr.side)} ${Number(qr.side)}" aria-hidden="true"><path/></svg>`)
    : null;
  code?.firstElementChild.setAttribute("d", qr.path);
  return h("div", { class: "link" }, code, h("p", {}, t("payment.scan")), h("p", { class: "url" }, url));
}

const LOOKS = {
  active: ["good", "well"], pending: ["clock", "calm"], "in-review": ["person", "calm"], failed: ["warn", "bad"],
  removed: ["good", "well"], "not-recognised": ["not-a-hand", "calm"], "not-sure": ["hand", "calm"],
  "locked-out": ["clock", "calm"], "removal-failed": ["warn", "bad"],
};

function result(state, { act, again }) {
  const { kind, message_key, retry_after_seconds } = state.result;
  const [symbol, look] = LOOKS[kind] ?? LOOKS.failed;
  const removal = ["not-recognised", "not-sure", "locked-out", "removal-failed"].includes(kind);
  const retry = removal || kind === "failed"
    ? button("secondary", t("action.try-again"), () => again(removal ? "/api/removal" : "/api/session"), "arrow", { id: "again" })
    : null;
  return {
    follow: still,
    element: h("section", { class: `screen outcome centred ${look}` },
      h("div", { class: "seal", "aria-hidden": "true" }, svg(icon(symbol))),
      title(t(message_key)),
      h("p", { class: "lead" }, t(`${message_key}.text`, { seconds: retry_after_seconds ?? 0 })),
      h("div", { class: "choices" }, retry, button("primary", t("action.done"), () => act("DELETE", "/api/session"), "check", { id: "done" }))),
  };
}

function removed(state, { act }) {
  const { receipt_id, erased_at, matchers_pending } = state.result;
  const time = new Date(erased_at).toLocaleString(state.language, { dateStyle: "long", timeStyle: "short" });
  return {
    follow: still,
    element: h("section", { class: "screen outcome centred well" },
      h("div", { class: "seal", "aria-hidden": "true" }, svg(icon("good"))),
      title(t("result.removed")),
      h("p", { class: "lead" }, t("result.removed.text")),
      h("dl", { class: "receipt" }, h("dt", {}, t("receipt.number")), h("dd", { id: "receipt" }, receipt_id), h("dd", { class: "time" }, t("receipt.time", { time }))),
      matchers_pending > 0 ? h("p", { class: "hint" }, t("result.removed.pending", { number: matchers_pending })) : null,
      h("div", { class: "choices" }, button("primary", t("action.done"), () => act("DELETE", "/api/session"), "check", { id: "done" }))),
  };
}

function unavailable(state) {
  const symbol = { sensor: "plug", model: "person" }[state.missing] ?? "cloud";
  return {
    follow: still,
    element: h("section", { class: "screen outcome centred calm" },
      h("div", { class: "seal", "aria-hidden": "true" }, svg(icon(symbol))),
      title(t("unavailable.title")),
      h("p", { class: "lead", role: "alert" }, t(`unavailable.${state.missing}`))),
  };
}

function declined(state, { act }) {
  const way = (symbol, key) => h("li", {}, svg(icon(symbol)), h("span", {}, t(key)));
  return {
    follow: still,
    element: h("section", { class: "screen declined" },
      title(t("declined.title")), h("p", { class: "lead" }, t("declined.text")),
      h("ol", { class: "list" }, way("card", "declined.way.1"), way("person", "declined.way.2"), way("door", "declined.way.3")),
      h("div", { class: "choices" }, button("primary", t("action.back"), () => act("DELETE", "/api/session"), "back", { id: "done" }))),
  };
}
