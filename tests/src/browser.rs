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

/// A browser with one page.
pub struct Browser {
    /// What drives it.
    pub client: Client,
    driver: Child,
}

impl Browser {
    /// Starts one with a page of `width` x `height` CSS pixels.
    pub async fn open(width: u32, height: u32) -> Self {
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
