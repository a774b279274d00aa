//! People come and go, and each call is told before it is made and after it was answered or refused, a line each. What
//! is refused does not stop it. The disk tests run it over a disk that fails.
//!
//! `visits FOLDER PEOPLE`: a vault of `FOLDER`, as the load example's, and a copy that follows its key table.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use volar_core::clock::Clock;
use volar_core::id::{EnrollmentId, IdempotencyId, SubjectId, TicketId};
use volar_core::shard::Shard;
use volar_core::ticket::{Purpose, Ticket};
use volar_service::identity::Peer;
use volar_service::system::{SystemClock, SystemRandomness};
use volar_vault::backup::BackupConfig;
use volar_vault::config::{Config, DEFAULTS};
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::feed::News;
use volar_vault::format::v1::Payment;
use volar_vault::server;
use volar_vault::vault::{Call, Vault};

#[path = "../tests/it/people.rs"]
mod people;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, people] = arguments.as_slice() else { return Err("usage: visits FOLDER PEOPLE".into()) };
    let folder = Path::new(folder);
    let mut config: Config = toml::from_str(DEFAULTS)?;
    config.keys.file = Some(folder.join("vault.key"));
    config.store.folder = folder.join("store");
    config.store.key_table = folder.join("keys");
    let (backups, copy) = (folder.join("backups"), folder.join("copy-of-keys"));
    config.backup = Some(BackupConfig { folder: backups, keys: copy, every_hours: 0, keep: 14 });
    server::init(&config, false)?;
    let vault = Arc::new(server::open(&config, config.settings()?)?);
    let mut first = None;
    for number in 0..people.parse()? {
        if let Err(error) = visit(&vault, number, &mut first).await {
            say(&format!("refused {error}"));
            let read = first.map(|enrollment| vault.standing(&peer("kiosk", "kiosk-1"), enrollment));
            say(match read {
                Some(Ok(_)) => "reads",
                Some(Err(_)) => "reads-nothing",
                None => "nobody-yet",
            });
        }
    }
    Ok(())
}

/// Every third person leaves again, and with every second the store is compacted.
async fn visit(vault: &Arc<Vault>, number: u64, first: &mut Option<EnrollmentId>) -> Result<(), VaultError> {
    let (kiosk, matcher) = (peer("kiosk", "kiosk-1"), peer("matcher", "matcher-1"));
    let call = call();
    say(&format!("enroll {}", call.id));
    let enrollment = vault.enroll(&kiosk, &call, &people::enrollment(&SystemRandomness, SystemClock.now(), 1, 1))?;
    say(&format!("enrolled {} {enrollment}", call.id));
    first.get_or_insert(enrollment);
    let (subject, sequence) = newest(vault)?;
    let gallery = "members".parse().expect("a slug");
    vault.report_verdict(&matcher, &self::call(), &gallery, sequence, Shard::WHOLE, None)?;
    vault.bind_payment(&kiosk, &self::call(), enrollment, &payment())?;
    say(&format!("member {subject} {enrollment}"));
    let sealed = ticket(subject).seal(&vault.ticket_key(&matcher)?, &SystemRandomness);
    let ticket: String = sealed.iter().map(|byte| format!("{byte:02x}")).collect();
    say(&format!("claim {ticket}"));
    vault.claim(&peer("checkout", "checkout-1"), &self::call(), &sealed)?;
    say(&format!("claimed {ticket}"));
    if number % 3 == 2 {
        say(&format!("erase {subject} {enrollment}"));
        vault.erase(&peer("operator", "ops-1"), self::call(), Erase::Subject(subject)).await?;
        say(&format!("erased {subject} {enrollment}"));
    }
    if number % 2 == 1 {
        vault.compact()?;
    }
    Ok(())
}

/// One write a line: a killed process leaves whole lines.
fn say(line: &str) {
    std::io::stdout().write_all(format!("{line}\n").as_bytes()).expect("somebody listens");
}

fn peer(role: &str, device: &str) -> Peer {
    format!("spiffe://volar/acme/north/{role}/{device}").parse().expect("a peer's name")
}

fn call() -> Call {
    Call { id: IdempotencyId::random(&SystemRandomness), body_sha256: [0; 32] }
}

/// Whom the newest enrollment is of.
fn newest(vault: &Vault) -> Result<(SubjectId, u64), VaultError> {
    let gallery = "members".parse().expect("a slug");
    let (items, _) = vault.events(&peer("matcher", "matcher-1"), &gallery, Shard::WHOLE, 1, usize::MAX)?;
    let enrolled = items.iter().rev().find(|item| matches!(item.news, News::Enrolled { .. }));
    let item = enrolled.expect("somebody was enrolled just now");
    Ok((item.subject, item.sequence))
}

fn ticket(subject: SubjectId) -> Ticket {
    let now = SystemClock.now();
    Ticket {
        id: TicketId::random(&SystemRandomness),
        purpose: Purpose::Admission,
        tenant: "acme".parse().expect("a slug"),
        gallery: "members".parse().expect("a slug"),
        subject,
        site: "north".parse().expect("a slug"),
        device: "gate-1".parse().expect("a slug"),
        lane: "lane-1".parse().expect("a slug"),
        decided_at: now,
        expires_at: now.after(std::time::Duration::from_secs(900)),
    }
}

fn payment() -> Payment {
    let text = |text: &str| text.to_owned();
    Payment { provider: text("test"), customer: text("c"), payment_method: text("p"), label: text("Anna") }
}
