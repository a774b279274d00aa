// The screen of the second factor: which digits, and keys to type them with. They are shown while they are typed, because a
// mistyped code opens nothing and nobody else stands at the kiosk; they leave the page once and are forgotten.

import { h, say, svg } from "./dom.js";
import { icon } from "./icons.js";
import { t } from "./texts.js";

const PHONE = 4;
const LENGTHS = { "phone-digits": [PHONE, PHONE], code: [4, 8] };

export function secondFactor(state, { act }, button, title) {
  let kind = "phone-digits";
  let typed = "";
  const shown = h("p", { class: "typed", role: "status" });
  const help = h("p", { class: "help" });
  const problem = h("p", { class: "problem", id: "problem", role: "alert" });
  const busy = h("p", { class: "busy", role: "status" });
  const fits = () => typed.length >= LENGTHS[kind][0] && typed.length <= LENGTHS[kind][1];
  const kinds = Object.keys(LENGTHS).map((name) => h("button", {
    type: "button", class: "kind", id: `kind-${name}`, click: () => choose(name),
  }, t(name === "code" ? "second-factor.code" : "second-factor.phone")));
  const keep = button("primary", t("second-factor.keep"), () => {
    if (!fits()) return;
    changed = false;
    act("POST", "/api/session/second-factor", { kind, digits: typed });
  }, "check", { id: "keep-factor" });
  const skip = button("secondary", t("second-factor.skip"), () => act("POST", "/api/session/second-factor", { skip: true }), "arrow", { id: "skip-factor" });
  const key = (text, id, act, attributes = {}) => h("button", { type: "button", class: "key", id, click: act, ...attributes }, text);
  const digit = (text) => key(text, `key-${text}`, () => type(text));
  const remove = key("", "key-delete", () => type(null), { "aria-label": t("second-factor.delete") });
  remove.append(svg(icon("back")));
  const keys = h("div", { class: "keys" }, [..."123456789"].map(digit), h("span", {}), digit("0"), remove);
  let working = false;
  // Since it was sent: what was wrong with it is then no longer to the point.
  let changed = false;

  function show() {
    const places = Math.max(typed.length, LENGTHS[kind][0]);
    say(shown, [...typed.padEnd(places, "·")].join(" "));
    shown.setAttribute("aria-label", t("second-factor.typed", { number: typed.length }));
    say(help, t(kind === "code" ? "second-factor.code.help" : "second-factor.phone.help"));
    for (const one of kinds) one.setAttribute("aria-pressed", String(one.id === `kind-${kind}`));
    keep.disabled = working || !fits();
    skip.disabled = working;
  }

  function choose(name) {
    kind = name;
    typed = typed.slice(0, LENGTHS[kind][1]);
    edited();
  }

  function type(text) {
    typed = text === null ? typed.slice(0, -1) : (typed + text).slice(0, LENGTHS[kind][1]);
    edited();
  }

  function edited() {
    changed = true;
    say(problem, "");
    show();
  }

  const follow = ({ second_factor: now }) => {
    if (!now) return;
    working = now.busy;
    if (!changed) say(problem, now.error ? t(now.error.message_key) : "");
    say(busy, working ? t("second-factor.busy") : "");
    show();
  };
  const element = h("section", { class: "screen factor" },
    h("div", { class: "ask" },
      title(t("second-factor.title")), h("p", { class: "lead" }, t("second-factor.text")),
      h("div", { class: "kinds" }, kinds), help, problem, busy,
      h("div", { class: "choices" }, skip, keep)),
    h("div", { class: "pad" }, shown, keys));
  // A keyboard of its own, where the kiosk has one.
  element.addEventListener("keydown", (event) => {
    if (/^[0-9]$/.test(event.key)) type(event.key);
    else if (event.key === "Backspace") type(null);
  });
  follow(state);
  return { element, follow };
}
