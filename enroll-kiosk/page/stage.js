// The panel of the simulated sensor: says what is in front of it. A real kiosk has none.

import { call } from "./server.js";
import { h, svg } from "./dom.js";
import { icon } from "./icons.js";
import { Canvas } from "./picture.js";
import { t } from "./texts.js";

const PEOPLE = 8;
const CONDITIONS = ["good", "too-far", "too-close", "tilted", "too-bright", "too-dark", "fingers-closed", "off-centre", "moving", "sleeve"];

export class Panel {
  constructor(element) {
    this.element = element;
    this.open = !new URLSearchParams(location.search).has("stage-closed");
    this.chosen = { person: 1, position: "left", condition: "good" };
    this.samples = 0;
    this.canvas = new Canvas();
    this.preview = h("div", { class: "preview" }, this.canvas.element);
    this.built = "";
  }

  /** Follows the state: is there a panel, in which language? */
  async show({ stage, language }) {
    this.element.hidden = !stage;
    document.body.classList.toggle("staged", stage && this.open);
    if (!stage || this.built === `${language} ${this.open}`) return;
    this.built = `${language} ${this.open}`;
    this.language = language;
    // A folder of pictures has a stage too, but no people to choose from.
    this.kind ??= (await (await fetch("/stage")).json()).show;
    if (this.kind === "files") {
      this.element.hidden = true;
      document.body.classList.remove("staged");
    } else this.build();
  }

  /** The live picture, unless the screen shows it already. */
  picture(jpeg, elsewhere) {
    this.preview.classList.toggle("gone", elsewhere);
    if (!elsewhere && this.open) this.canvas.show(jpeg);
  }

  build() {
    const toggle = h("button", {
      type: "button", class: "toggle", id: "stage-toggle", "aria-expanded": String(this.open), "aria-controls": "stage-body",
      "aria-label": t(this.open ? "stage.close" : "stage.open"),
      click: () => {
        this.open = !this.open;
        this.show({ stage: true, language: this.language });
      },
    }, svg(icon(this.open ? "cross" : "hand")));
    if (!this.open) {
      this.element.replaceChildren(toggle);
      return;
    }
    this.element.setAttribute("aria-label", t("stage.title"));
    this.element.replaceChildren(
      h("div", { class: "stage-head" }, h("h2", {}, t("stage.title")), toggle),
      h("p", { class: "note" }, t("stage.note")),
      h("div", { class: "stage-body", id: "stage-body" },
        this.preview,
        this.choice("person", t("stage.person"), Array.from({ length: PEOPLE }, (_, i) => [i + 1, String(i + 1)])),
        this.choice("position", t("stage.hand"), [["left", t("stage.hand.left")], ["right", t("stage.hand.right")]]),
        h("label", { class: "condition" }, h("span", {}, t("stage.condition")), this.conditions()),
        h("div", { class: "shows" },
          this.shows("stage-show", t("stage.show"), () => ({ show: "hand", ...this.chosen, sample: this.samples++ }), "strong"),
          this.shows("stage-empty", t("stage.empty"), () => ({ show: "empty" }), "strong"),
          this.shows("stage-two", t("stage.two-hands"), () => ({ show: "two-hands", person: this.chosen.person })),
          this.shows("stage-face", t("stage.face"), () => ({ show: "face" })),
          this.shows("stage-unplug", t("stage.unplugged"), () => ({ show: "unplugged" })))));
  }

  choice(name, label, options) {
    const pressed = (value) => String(this.chosen[name] === value);
    const buttons = options.map(([value, text]) => {
      const button = h("button", { type: "button", id: `stage-${name}-${value}`, "aria-pressed": pressed(value) }, text);
      button.addEventListener("click", () => {
        this.chosen[name] = value;
        for (const other of buttons) other.setAttribute("aria-pressed", String(other === button));
      });
      return button;
    });
    return h("div", { class: `choice ${name}`, role: "group", "aria-label": label }, h("span", {}, label), h("div", {}, buttons));
  }

  conditions() {
    const select = h("select", { id: "stage-condition", change: () => { this.chosen.condition = select.value; } },
      CONDITIONS.map((name) => h("option", { value: name, selected: name === this.chosen.condition }, t(`stage.condition.${name}`))));
    return select;
  }

  shows(id, label, scene, kind = "") {
    return h("button", { type: "button", id, class: kind, click: () => call("POST", "/stage", scene()) }, label);
  }
}
