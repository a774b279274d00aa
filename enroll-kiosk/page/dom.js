// Builds elements; the one place that turns descriptions into DOM.

/** An element with attributes (functions become event listeners) and children. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else element.setAttribute(name, value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** An SVG element from the markup of an icon. Only ever given markup of this page's own files. */
export function svg(markup) {
  const holder = document.createElement("template");
  holder.innerHTML = markup;
  return holder.content.firstElementChild;
}

/** Sets text only when it differs, so that live regions speak changes only. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
