// The words of the screens, in the language that is spoken now.

const loaded = new Map();
let spoken = {};

/** Loads a language, once, and speaks it from now on. */
export async function speak(language) {
  if (!loaded.has(language)) {
    const response = await fetch(`/texts/${language}.json`);
    loaded.set(language, await response.json());
  }
  spoken = loaded.get(language);
  document.documentElement.lang = language;
}

/** The text of `key` with `{name}` filled in from `values`. */
export function t(key, values = {}) {
  const text = spoken[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => values[name] ?? whole);
}
