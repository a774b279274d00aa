//! A real Chromium without a window, through its driver.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// How long a page may take to show what is waited for.
pub const PAGE_PATIENCE: Duration = Duration::from_secs(30);

/// A script: by how much the page is too wide, and what sticks out at the sides.
pub const OVERFLOW: &str = "
  const wide = document.documentElement.scrollWidth - innerWidth;
  const out = [...document.querySelectorAll('h1, h2, p, button, input, li, dd')]
    .filter((element) => element.checkVisibility({ visibilityProperty: true }) && element.id !== 'skip')
    .filter((element) => { const box = element.getBoundingClientRect(); return box.width > 0 && (box.left < -1 || box.right > innerWidth + 1); })
    .map((element) => element.textContent.trim().slice(0, 60));
  return [wide, out]";

/// What a page may prefer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// Dark text on light.
    Light,
    /// Light text on dark.
    Dark,
}

/// Texts that stand out too little: each with its contrast (WCAG 2.2, 1.4.3) to whatever lies behind it, for those below
/// the limit that takes the place of `LIMIT`. Disabled controls are exempt there, pictures cannot be measured here.
const FAINT: &str = "
  const pen = new OffscreenCanvas(1, 1).getContext('2d', { willReadFrequently: true });
  const pixel = (colours) => {
    pen.clearRect(0, 0, 1, 1);
    for (const colour of colours) { pen.fillStyle = colour; pen.fillRect(0, 0, 1, 1); }
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      if (style.backgroundImage !== 'none') return null;
      layers.unshift(style.backgroundColor);
      if (pixel([style.backgroundColor])[3] === 255) return layers;
    }
    return ['white', ...layers];
  };
  const faint = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const shown = element.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!own || !shown || element.closest('svg, script, noscript, .aside, :disabled')) continue;
    const box = element.getBoundingClientRect();
    const layers = behind(element);
    if (box.width < 2 || box.height < 2 || box.bottom < 0 || !layers) continue;
    const one = light(pixel([...layers, getComputedStyle(element).color]));
    const other = light(pixel(layers));
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < LIMIT) faint.push([element.textContent.trim().slice(0, 40), contrast]);
  }
  return faint";

/// A browser with one page.
pub struct Browser {
    /// What drives it.
    pub client: Client,
    driver: Child,
}

impl Browser {
    /// Starts one with a page of `width` x `height` CSS pixels.
    pub async fn open(width: u32, height: u32) -> Self {
        Self::preferring(Scheme::Light, width, height).await
    }

    /// The same, whose person prefers that colour scheme.
    pub async fn preferring(scheme: Scheme, width: u32, height: u32) -> Self {
        let (driver, port) = start_driver();
        let arguments = [
            "--headless=new".to_owned(),
            // A container's root has no user namespace to put a sandbox in, and a small /dev/shm.
            "--no-sandbox".to_owned(),
            "--disable-dev-shm-usage".to_owned(),
            "--disable-gpu".to_owned(),
            "--force-device-scale-factor=1".to_owned(),
            "--hide-scrollbars".to_owned(),
            format!("--window-size={width},{height}"),
            format!("--blink-settings=preferredColorScheme={}", u8::from(scheme == Scheme::Light)),
        ];
        let capabilities = json!({ "browserName": "chrome", "goog:chromeOptions": { "args": arguments } });
        let capabilities = capabilities.as_object().expect("an object").clone();
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(capabilities)
            .connect(&format!("http://127.0.0.1:{port}"))
            .await
            .expect("the driver opens a browser; `cargo xtask test` installs chromium");
        let browser = Self { client, driver };
        browser.resize(width, height).await;
        browser
    }

    /// Gives the page `width` x `height` CSS pixels.
    pub async fn resize(&self, width: u32, height: u32) {
        // A window is larger than its page by the browser's own borders.
        self.client.set_window_size(width, height).await.expect("a size");
        let inner = self.run("return [innerWidth, innerHeight]").await;
        let extra = |at: usize, wanted: u32| {
            let inner = inner[at].as_u64().and_then(|size| u32::try_from(size).ok()).expect("a size");
            wanted + wanted.saturating_sub(inner)
        };
        self.client.set_window_size(extra(0, width), extra(1, height)).await.expect("a size");
    }

    /// Runs a script in the page.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, Vec::new()).await.unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Waits until an element is there and shown.
    pub async fn shown(&self, css: &str) -> Element {
        let end = std::time::Instant::now() + PAGE_PATIENCE;
        loop {
            for element in self.client.find_all(Locator::Css(css)).await.unwrap_or_default() {
                if element.is_displayed().await.unwrap_or(false) {
                    return element;
                }
            }
            if std::time::Instant::now() > end {
                let text = self.run("return document.body.innerText").await;
                self.picture("not-shown").await;
                panic!("{css} is not shown; the page says {text}");
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Texts whose contrast is below `limit`, each with its contrast.
    pub async fn faint(&self, limit: f64) -> Value {
        self.run(&FAINT.replace("LIMIT", &limit.to_string())).await
    }

    /// Keeps a picture of the page in the target folder's `kiosk-pictures`.
    pub async fn picture(&self, name: &str) -> PathBuf {
        let profile = xtask::workspace::binaries();
        let folder = profile.parent().expect("a profile lies in the target folder").join("kiosk-pictures");
        std::fs::create_dir_all(&folder).expect("a folder for pictures");
        let path = folder.join(name).with_extension("png");
        let png = self.client.screenshot().await.expect("a picture");
        std::fs::write(&path, png).expect("writable");
        path
    }

    /// Ends it.
    pub async fn close(self) {
        // The driver ends the browser with it in any case.
        let _ = self.client.clone().close().await;
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.driver),
            rustix::process::Signal::TERM,
        );
        let _ = self.driver.wait();
    }
}

/// Starts the driver at a port that it chooses.
fn start_driver() -> (Child, u16) {
    let mut driver = Command::new("chromedriver")
        .arg("--port=0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("chromedriver runs; `cargo xtask test` installs it");
    let output = driver.stdout.take().expect("asked for");
    let mut lines = BufReader::new(output).lines();
    let said = lines.by_ref().map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("started successfully on port ")?;
        port.trim_end_matches('.').parse().ok()
    });
    let port = said.expect("chromedriver says its port");
    // Its further words must go somewhere, or it would stop at a full pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (driver, port)
}
