//! The vault's configuration file.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::Date;
use serde::Deserialize;
use volar_core::id::{GalleryId, ModelId, SiteId, TenantId};
use volar_service::config::{Resolve, resolve};
use volar_service::process::ProcessConfig;
use volar_service::server::ServerConfig;
use volar_service::telemetry::TelemetryConfig;
use volar_service::tls::TlsConfig;

use crate::backup::BackupConfig;
use crate::keys::HsmConfig;
use crate::parameters::{ANSWER_HOURS, TICKET_SECONDS_MAX};
use crate::retention::{self, RULES, Schedules, SiteSchedule};
use crate::store::PostgresConfig;
use crate::vault::{DamagedKeys, Settings};

/// Every setting with its default and meaning.
pub const DEFAULTS: &str = include_str!("default.toml");

/// The file as parsed. [`DEFAULTS`] says what each setting means.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[keys]`
    pub keys: KeysConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[[tenants]]`
    pub tenants: Vec<TenantConfig>,
    /// `[enrollment]`
    #[serde(default)]
    pub enrollment: EnrollmentConfig,
    /// `[tickets]`
    #[serde(default)]
    pub tickets: TicketsConfig,
    /// `[idempotency]`
    #[serde(default)]
    pub idempotency: IdempotencyConfig,
    /// `[erasure]`
    #[serde(default)]
    pub erasure: ErasureConfig,
    /// `[feed]`
    #[serde(default)]
    pub feed: FeedConfig,
    /// `[audit]`
    #[serde(default)]
    pub audit: AuditConfig,
    /// `[retention]`
    #[serde(default)]
    pub retention: RetentionConfig,
    /// `[backup]`: none without it.
    pub backup: Option<BackupConfig>,
    /// `[process]`
    #[serde(default)]
    pub process: ProcessConfig,
    /// `[telemetry]`
    #[serde(default)]
    pub telemetry: TelemetryConfig,
}

/// `[keys]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeysConfig {
    /// The key file; without one, `hsm` is needed.
    pub file: Option<PathBuf>,
    /// File of the passphrase that the key file is under.
    pub passphrase_file: Option<PathBuf>,
    /// `[keys.hsm]`: the token that holds the keys instead of a key file.
    pub hsm: Option<HsmConfig>,
}

/// `[store]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Where records are kept.
    #[serde(default)]
    pub engine: Engine,
    /// Folder of the records, for [`Engine::Sled`]; empty if there is none.
    #[serde(default)]
    pub folder: PathBuf,
    /// The database, for [`Engine::Postgres`].
    pub postgres: Option<PostgresConfig>,
    /// The key table.
    pub key_table: PathBuf,
    /// Whether to wait, rather than end, while another process has the store open.
    #[serde(default)]
    pub standby: bool,
    /// Memory for caching, in MiB.
    #[serde(default = "default_cache")]
    pub cache_mib: u32,
    /// Whether every record is read at start.
    #[serde(default = "default_verify")]
    pub verify_at_start: bool,
}

/// What keeps the records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// In this process, in files of a folder.
    #[default]
    Sled,
    /// A PostgreSQL server.
    Postgres,
}

/// One of `[[tenants]]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TenantConfig {
    /// The tenant.
    pub id: TenantId,
    /// Its galleries.
    pub galleries: Vec<GalleryConfig>,
    /// Whose retention law holds at its sites.
    #[serde(default = "default_jurisdiction")]
    pub jurisdiction: String,
    /// Sites where another holds.
    #[serde(default)]
    pub sites: Vec<SiteConfig>,
}

/// One of a tenant's sites.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteConfig {
    /// The site.
    pub id: SiteId,
    /// Whose retention law holds there; unset for the tenant's.
    pub jurisdiction: Option<String>,
    /// The day on which what people enrolled for ends there.
    pub purpose_ends: Option<Date>,
}

/// `[audit]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditConfig {
    /// Folder that tree heads are written to.
    pub heads: Option<PathBuf>,
    /// How often.
    pub heads_every_minutes: u64,
}

/// `[retention]`
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionConfig {
    /// A file of rules in place of those that come with the vault.
    pub rules: Option<PathBuf>,
}

/// One of a tenant's galleries.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GalleryConfig {
    /// The gallery.
    pub id: GalleryId,
    /// The model of its references.
    pub model: ModelId,
    /// The sites whose devices may use it; none for every site of the tenant.
    #[serde(default)]
    pub sites: BTreeSet<SiteId>,
}

/// `[enrollment]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EnrollmentConfig {
    /// Matchers that must have searched for duplicates.
    pub verdicts_required: usize,
    /// Time to bind an announced payment.
    pub payment_deadline_seconds: u64,
}

/// `[tickets]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TicketsConfig {
    /// How long a ticket can be claimed.
    pub lifetime_seconds: u64,
}

/// `[idempotency]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IdempotencyConfig {
    /// How long a repeat gets the first answer.
    pub lifetime_hours: u64,
}

/// `[erasure]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ErasureConfig {
    /// How long an erasure waits for matchers.
    pub wait_milliseconds: u64,
}

/// `[feed]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FeedConfig {
    /// How often idle followers hear from the vault.
    pub heartbeat_milliseconds: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { heads: None, heads_every_minutes: 60 }
    }
}

impl Default for EnrollmentConfig {
    fn default() -> Self {
        Self { verdicts_required: 1, payment_deadline_seconds: 900 }
    }
}

impl Default for TicketsConfig {
    fn default() -> Self {
        Self { lifetime_seconds: 900 }
    }
}

impl Default for IdempotencyConfig {
    fn default() -> Self {
        Self { lifetime_hours: 72 }
    }
}

impl Default for ErasureConfig {
    fn default() -> Self {
        Self { wait_milliseconds: 5_000 }
    }
}

impl Default for FeedConfig {
    fn default() -> Self {
        Self { heartbeat_milliseconds: 3_000 }
    }
}

fn default_jurisdiction() -> String {
    retention::DEFAULT.to_owned()
}

fn default_cache() -> u32 {
    256
}

fn default_verify() -> bool {
    true
}

/// Which setting breaks a rule that its type cannot hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid configuration: {setting} {rule}")]
pub struct SettingError {
    setting: &'static str,
    rule: String,
}

impl Config {
    /// The same for work that needs store and key table to itself.
    pub fn alone(&self) -> Self {
        let mut alone = self.clone();
        if let Some(postgres) = &mut alone.store.postgres {
            postgres.shared = false;
        }
        alone
    }

    /// What the vault serves and how.
    pub fn settings(&self) -> Result<Settings, SettingError> {
        let demand = |holds: bool, setting, rule| {
            if holds { Ok(()) } else { Err(SettingError { setting, rule: str::to_owned(rule) }) }
        };
        let keys = &self.keys;
        demand(keys.file.is_some() != keys.hsm.is_some(), "[keys]", "must have either file or [keys.hsm]")?;
        let passphrase = keys.passphrase_file.is_none() || keys.file.is_some();
        demand(passphrase, "keys.passphrase_file", "belongs to keys.file; a token has keys.hsm.pin_file")?;
        demand(!self.tenants.is_empty(), "[[tenants]]", "must name at least one tenant")?;
        let ids: BTreeSet<_> = self.tenants.iter().map(|tenant| &tenant.id).collect();
        demand(ids.len() == self.tenants.len(), "[[tenants]]", "must name each tenant once")?;
        for tenant in &self.tenants {
            let ids: BTreeSet<_> = tenant.galleries.iter().map(|gallery| &gallery.id).collect();
            let rule = "must name at least one gallery, each once";
            demand(!ids.is_empty() && ids.len() == tenant.galleries.len(), "tenants.galleries", rule)?;
        }
        demand(self.enrollment.verdicts_required >= 1, "enrollment.verdicts_required", "must be at least 1")?;
        demand(self.store.cache_mib >= 16, "store.cache_mib", "must be at least 16")?;
        let StoreConfig { engine, folder, postgres, .. } = &self.store;
        let placed = *engine != Engine::Sled || !folder.as_os_str().is_empty();
        demand(placed, "store.folder", "must name a folder for sled")?;
        let placed = *engine != Engine::Postgres || postgres.is_some();
        demand(placed, "[store.postgres]", "must say where the database is")?;
        // With sled it is where the records may be moved to.
        if let Some(PostgresConfig { connections, patience_seconds, shared, .. }) = postgres {
            demand((1..=100).contains(connections), "store.postgres.connections", "must be 1 to 100")?;
            demand((1..=60).contains(patience_seconds), "store.postgres.patience_seconds", "must be 1 to 60")?;
            let rule = "is for a vault that waits for another's end; those that share a store serve at the same time";
            demand(!(*shared && self.store.standby), "store.standby", rule)?;
        }
        let payment = self.enrollment.payment_deadline_seconds;
        let setting = "enrollment.payment_deadline_seconds";
        demand((1..=86_400).contains(&payment), setting, "must be 1 to 86400")?;
        let lifetime = self.tickets.lifetime_seconds;
        demand((1..=TICKET_SECONDS_MAX).contains(&lifetime), "tickets.lifetime_seconds", "must be 1 to 86400")?;
        let answers = self.idempotency.lifetime_hours;
        demand(ANSWER_HOURS.contains(&answers), "idempotency.lifetime_hours", "must be 25 to 720")?;
        let wait = self.erasure.wait_milliseconds;
        demand(wait <= 20_000, "erasure.wait_milliseconds", "must be at most 20000")?;
        let heartbeat = self.feed.heartbeat_milliseconds;
        demand((100..=60_000).contains(&heartbeat), "feed.heartbeat_milliseconds", "must be 100 to 60000")?;
        let minutes = self.audit.heads_every_minutes;
        demand((1..=1_440).contains(&minutes), "audit.heads_every_minutes", "must be 1 to 1440")?;
        if let Some(backup) = &self.backup {
            let rule = "must name a file on another disk than store.key_table";
            demand(backup.keys != self.store.key_table, "backup.keys", rule)?;
            demand((1..=1_000).contains(&backup.keep), "backup.keep", "must be 1 to 1000")?;
            demand(backup.every_hours <= 8_760, "backup.every_hours", "must be at most 8760")?;
        }
        Ok(Settings {
            tenants: self.tenants.iter().map(|tenant| (tenant.id.clone(), tenant.galleries.clone())).collect(),
            verdicts_required: self.enrollment.verdicts_required,
            payment_deadline: Duration::from_secs(payment),
            ticket_lifetime: Duration::from_secs(lifetime),
            answer_lifetime: Duration::from_secs(answers * 3_600),
            erasure_wait: Duration::from_millis(wait),
            heartbeat: Duration::from_millis(heartbeat),
            retention: self.schedules()?,
            damaged_keys: DamagedKeys::Refuse,
        })
    }

    /// How long people are kept, by tenant and site.
    fn schedules(&self) -> Result<Schedules, SettingError> {
        let refuse = |setting, rule: String| SettingError { setting, rule };
        let text = match &self.retention.rules {
            None => RULES.to_owned(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| refuse("retention.rules", format!("names {}: {error}", path.display())))?,
        };
        let known = retention::read(&text).map_err(|error| refuse("retention.rules", error.to_string()))?;
        let schedule = |id: &str, purpose_ends| {
            let found = retention::find(&known, id).cloned().ok_or_else(|| {
                let names: Vec<_> = known.iter().map(|jurisdiction| jurisdiction.id.as_str()).collect();
                refuse("tenants.jurisdiction", format!("\"{id}\" is none of {}", names.join(", ")))
            })?;
            Ok(SiteSchedule { jurisdiction: found, purpose_ends })
        };
        let mut schedules = Schedules { fallback: schedule(retention::DEFAULT, None)?, tenants: Default::default() };
        for tenant in &self.tenants {
            let mut sites = BTreeMap::new();
            for site in &tenant.sites {
                let jurisdiction = site.jurisdiction.as_ref().unwrap_or(&tenant.jurisdiction);
                if sites.insert(site.id.clone(), schedule(jurisdiction, site.purpose_ends)?).is_some() {
                    return Err(refuse("tenants.sites", format!("names \"{}\" twice", site.id)));
                }
            }
            schedules.tenants.insert(tenant.id.clone(), (schedule(&tenant.jurisdiction, None)?, sites));
        }
        Ok(schedules)
    }
}

impl Resolve for Config {
    fn resolve(&mut self, folder: &Path) {
        self.tls.resolve(folder);
        let KeysConfig { file, passphrase_file, hsm } = &mut self.keys;
        let hsm = hsm.as_mut().map(|hsm| (&mut hsm.module, hsm.pin_file.as_mut()));
        let (module, pin) = hsm.unzip();
        for path in [file.as_mut(), passphrase_file.as_mut(), module, pin.flatten()].into_iter().flatten() {
            resolve(path, folder);
        }
        if !self.store.folder.as_os_str().is_empty() {
            resolve(&mut self.store.folder, folder);
        }
        resolve(&mut self.store.key_table, folder);
        for path in [&mut self.audit.heads, &mut self.retention.rules].into_iter().flatten() {
            resolve(path, folder);
        }
        if let Some(backup) = &mut self.backup {
            resolve(&mut backup.folder, folder);
            resolve(&mut backup.keys, folder);
        }
        if let Some(postgres) = &mut self.store.postgres {
            postgres.resolve(folder);
        }
    }
}

volar_service::service_config!(Config);

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Config {
        toml::from_str(text).expect("valid")
    }

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let printed = parsed(DEFAULTS);
        let optional = [
            "calls_per",
            "engine",
            "cache_",
            "verify_",
            "verdicts",
            "payment_",
            "lifetime",
            "wait_",
            "heartbeat",
            "memory_",
            "log_",
            "heads_",
            "jurisdiction",
        ];
        let required: String = DEFAULTS
            .lines()
            .filter(|line| !optional.iter().any(|name| line.starts_with(name)))
            .map(|line| format!("{line}\n"))
            .collect();
        assert_eq!(parsed(&required), printed);
        printed.settings().expect("within the rules");
    }

    #[test]
    fn settings_out_of_range_are_named() {
        for (from, to, name) in [
            ("lifetime_seconds = 900", "lifetime_seconds = 0", "tickets.lifetime_seconds"),
            ("lifetime_hours = 72", "lifetime_hours = 24", "idempotency.lifetime_hours"),
            ("wait_milliseconds = 5000", "wait_milliseconds = 50000", "erasure.wait_milliseconds"),
            ("heartbeat_milliseconds = 3000", "heartbeat_milliseconds = 5", "feed.heartbeat_milliseconds"),
            ("heads_every_minutes = 60", "heads_every_minutes = 0", "audit.heads_every_minutes"),
            ("jurisdiction = \"default\"", "jurisdiction = \"Mars\"", "tenants.jurisdiction"),
            ("jurisdiction = \"default\"", "sites = [{ id = \"a\" }, { id = \"a\" }]", "tenants.sites"),
            ("[retention]", "[retention]\nrules = \"/nowhere\"", "retention.rules"),
            ("verdicts_required = 1", "verdicts_required = 0", "enrollment.verdicts_required"),
            ("engine = \"sled\"", "engine = \"postgres\"", "[store.postgres]"),
            ("folder = \"store\"", "", "store.folder"),
            ("galleries = [{", "galleries = [{ id = \"members\", model = \"m\" }, {", "tenants.galleries"),
        ] {
            let error = parsed(&DEFAULTS.replace(from, to)).settings().expect_err(name);
            assert!(error.to_string().contains(name), "{error}");
        }
        assert!(toml::from_str::<Config>(&DEFAULTS.replace("[feed]", "[fed]")).is_err());
    }

    #[test]
    fn the_database_of_the_printed_defaults_is_one_that_can_be_set() {
        let example =
            DEFAULTS.lines().skip_while(|line| *line != "# [store.postgres]").take_while(|line| !line.is_empty());
        let settings = example
            .filter_map(|line| line.strip_prefix("# "))
            .filter(|line| line.starts_with('[') || line.split(" = ").next().is_some_and(|name| !name.contains(' ')));
        let example: String = settings.map(|line| format!("{line}\n")).collect();
        let text = DEFAULTS.replace("engine = \"sled\"", "engine = \"postgres\"") + "\n" + &example;
        let config = parsed(&text);
        config.settings().expect("within the rules");
        let mut postgres = config.store.postgres.expect("set");
        assert!(postgres.password_file.is_some() && postgres.certificate.is_some() && postgres.key.is_some());
        (postgres.password_file, postgres.certificate, postgres.key) = (None, None, None);
        let expected = PostgresConfig { ca: postgres.ca.clone(), ..PostgresConfig::at(postgres.url.clone()) };
        assert_eq!(postgres, expected, "the defaults printed are the defaults");
    }

    #[test]
    fn vaults_that_share_a_store_do_not_stand_by() {
        let database = "[store.postgres]\nurl = \"postgresql://volar@%2Frun/volar\"\nshared = true\n";
        let text = format!("{}\n{database}", DEFAULTS.replace("engine = \"sled\"", "engine = \"postgres\""));
        parsed(&text).settings().expect("within the rules");
        assert!(!parsed(&text).alone().store.postgres.expect("set").shared);
        let backup = "[backup]\nfolder = \"b\"\nkeys = \"k\"\n";
        let standing_by = text.replace("standby = false", "standby = true");
        parsed(&format!("{text}{backup}")).settings().expect("within the rules");
        let error = parsed(&standing_by).settings().expect_err("refused").to_string();
        assert!(error.contains("store.standby") && error.contains("share"), "{error}");
    }
}
