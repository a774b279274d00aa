//! The configuration files of a deployment on one machine.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use crate::token::Token;

/// Whose the demonstration is, and where it stands.
pub const TENANT: &str = "acme";
/// Its one site.
pub const SITE: &str = "north";
/// Its gallery, unless a deployment is told of more.
pub const GALLERY: &str = "members";

/// Every peer: role and device.
pub const PEERS: [(&str, &str); 6] = [
    ("vault", "vault-1"),
    ("matcher", "matcher-1"),
    ("kiosk", "kiosk-1"),
    ("gate", "gate-1"),
    ("checkout", "checkout-1"),
    ("operator", "operator-1"),
];

/// Which ports are listened at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ports {
    /// The documented ones, so that addresses can be written down.
    Usual,
    /// Free ones, so that nothing is in the way.
    Free,
}

/// What is before the sensors of kiosk and gate.
#[derive(Clone, Debug)]
pub struct Sensors {
    /// The tables `[sensor]` and those below it, as TOML, for both.
    pub toml: String,
}

impl Sensors {
    /// Rendered hands.
    pub fn simulated(frame_rate: u32) -> Self {
        Self { toml: format!("[sensor]\nkind = \"simulated\"\nseed = 7\nframe_rate = {frame_rate}.0\n") }
    }

    /// Pictures of `folder`, shown when staged. Every good frame captures: a still picture has nothing to wait for.
    pub fn pictures(folder: &Path, mirrored: bool) -> Self {
        let path = quoted(folder);
        let mut toml = format!("[sensor]\nkind = \"folder\"\npath = {path}\nautoplay = false\nframe_rate = 10.0\n");
        let _ = write!(toml, "\n[pipeline]\nmirrored = {mirrored}\n\n[guide]\nstill_frames = 2\nabsent_frames = 2\n");
        Self { toml }
    }
}

/// What a deployment may be told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Before the sensors.
    pub sensors: Sensors,
    /// Ports.
    pub ports: Ports,
    /// More lines for a configuration: the file's name without its extension, and TOML to append.
    pub extra: Vec<(&'static str, String)>,
    /// Holds the vault's keys; without one, a key file does.
    pub token: Option<Token>,
    /// The galleries that the vault has, the matcher serves, the kiosk enrols into and the gate searches.
    pub galleries: &'static [&'static str],
    /// The vault's `[store.postgres]`; without it the records are in files of the vault's own.
    pub database: Option<String>,
}

impl Settings {
    /// With nothing extra.
    pub fn new(sensors: Sensors, ports: Ports) -> Self {
        Self { sensors, ports, extra: Vec::new(), token: None, galleries: &[GALLERY], database: None }
    }

    /// With second factors: chosen at the kiosk, asked for at the gate.
    #[must_use]
    pub fn with_second_factors(mut self) -> Self {
        self.extra.push(("matcher", "[decision]\nsecond_factor = \"on\"".to_owned()));
        self.extra.push(("kiosk", "[second_factor]\noffered = true".to_owned()));
        self
    }
}

/// Where the processes are.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    /// Where the vault listens or is to listen.
    pub vault: SocketAddr,
    /// The same of the matcher.
    pub matcher: SocketAddr,
    /// The kiosk's page.
    pub kiosk: SocketAddr,
    /// The gate's page.
    pub gate: SocketAddr,
}

impl Addresses {
    /// What to ask for at first.
    pub fn wanted(ports: Ports) -> Self {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], if ports == Ports::Usual { port } else { 0 }));
        Self { vault: at(7401), matcher: at(7402), kiosk: at(7410), gate: at(7420) }
    }
}

/// The text of `name`'s configuration.
pub fn text(name: &str, settings: &Settings, addresses: &Addresses, lane: u32) -> String {
    let Addresses { vault, matcher, kiosk, gate } = *addresses;
    let sensors = &settings.sensors.toml;
    let servers = format!("[vault]\nurl = \"https://{vault}\"\n\n[matcher]\nurl = \"https://{matcher}\"\n");
    let galleries: Vec<String> = settings.galleries.iter().map(|gallery| format!("\"{gallery}\"")).collect();
    let head = format!("galleries = [{}]\n", galleries.join(", "));
    let body = match name {
        "vault" => {
            let keys = settings.token.as_ref().map_or_else(|| KEY_FILE.to_owned(), Token::configuration);
            let (engine, database) = match &settings.database {
                Some(database) => ("engine = \"postgres\"", database.as_str()),
                None => ("folder = \"store\"", ""),
            };
            let store = format!("[store]\n{engine}\n{VAULT}\n{database}");
            let tenant = tenant(&galleries);
            format!("{keys}\n{store}\n{tenant}\n[server]\nlisten = \"{vault}\"\n\n{}", tls("vault-1"))
        }
        "matcher" => {
            format!("vault = \"https://{vault}\"\n{head}\n[server]\nlisten = \"{matcher}\"\n\n{}", tls("matcher-1"))
        }
        "kiosk" => {
            let tls = tls("kiosk-1");
            format!("{head}lane = \"kiosk-1\"\n\n[page]\nlisten = \"{kiosk}\"\n\n{NOTICE}\n{servers}\n{tls}\n{sensors}")
        }
        "gate" => {
            let tls = tls("gate-1");
            let servers = format!("vault = \"https://{vault}\"\nmatcher = \"https://{matcher}\"\n");
            format!("{head}lane = \"lane-{lane}\"\n{servers}\n[page]\nlisten = \"{gate}\"\n\n{tls}\n{sensors}")
        }
        "volarctl" => {
            let (operator, checkout) = (tls("operator-1"), tls("checkout-1").replace("[tls]", "[checkout]"));
            format!("vault = \"https://{vault}\"\nmatcher = \"https://{matcher}\"\n\n{operator}\n{checkout}")
        }
        other => unreachable!("{other} is no process of a deployment"),
    };
    let mut text = format!("# Written anew by every `cargo xtask demo`.\n{body}");
    for (_, lines) in settings.extra.iter().filter(|(whose, _)| *whose == name) {
        let _ = write!(text, "\n{lines}\n");
    }
    text
}

const KEY_FILE: &str = "[keys]\nfile = \"keys/vault.key\"\n";

/// The vault's own files.
const VAULT: &str = "\
key_table = \"keys/subjects.table\"
";

fn tenant(galleries: &[String]) -> String {
    let gallery = |id: &String| format!("{{ id = {id}, model = \"palm-lines-3\" }}");
    let galleries: Vec<String> = galleries.iter().map(gallery).collect();
    format!("[[tenants]]\nid = \"{TENANT}\"\ngalleries = [{}]\n", galleries.join(", "))
}

const NOTICE: &str = "\
[notice]
policy_version = \"2026-11\"
operator = \"Acme Corner Shop\"
contact = \"privacy@acme.example\"
retention_months = 12
";

fn tls(device: &str) -> String {
    format!(
        "[tls]\nca = \"certificates/ca.pem\"\ncertificate = \"certificates/{device}.pem\"\n\
         key = \"certificates/{device}.key\"\n"
    )
}

/// A path as a TOML string.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
