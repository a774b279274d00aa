//! The page's files, embedded in the binary: nothing is fetched from elsewhere.

/// One file of the page.
pub struct File {
    /// Its path, such as `style.css`.
    pub path: &'static str,
    /// Its media type.
    pub media_type: &'static str,
    /// Its bytes.
    pub bytes: &'static [u8],
}

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const JSON: &str = "application/json";
const SVG: &str = "image/svg+xml";
const FONT: &str = "font/woff2";

macro_rules! files {
    ($($path:literal: $media_type:expr),* $(,)?) => {
        &[$(File {
            path: $path,
            media_type: $media_type,
            bytes: include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/page/", $path)),
        }),*]
    };
}

/// Every file.
pub const FILES: &[File] = files! {
    "index.html": HTML,
    "app.js": SCRIPT,
    "dom.js": SCRIPT,
    "screens.js": SCRIPT,
    "picture.js": SCRIPT,
    "icons.js": SCRIPT,
    "keys.js": SCRIPT,
    "server.js": SCRIPT,
    "stage.js": SCRIPT,
    "texts.js": SCRIPT,
    "style.css": STYLE,
    "screens.css": STYLE,
    "icon.svg": SVG,
    "fonts/inter-latin.woff2": FONT,
    "texts/en.json": JSON,
    "texts/fr.json": JSON,
    "texts/de.json": JSON,
};

/// The file at `path`.
pub fn file(path: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.path == path)
}
