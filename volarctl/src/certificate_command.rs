//! `volarctl certificate …`.

use serde_json::json;
use volar_core::clock::Clock;
use volar_service::identity::Peer;

use crate::arguments::{CertificateCommand, IssueArguments};
use crate::certificate::{AUTHORITY_KEY, Authority, Request, Validity, show};
use crate::failure::Failure;
use crate::moment;
use crate::report::{Report, facts};

pub(crate) fn run(command: &CertificateCommand, clock: &dyn Clock) -> Result<Report, Failure> {
    match command {
        CertificateCommand::Authority { out } => {
            let authority = Authority::create(out, clock.now())?;
            let (certificate, key) = (authority.certificate(), out.join(AUTHORITY_KEY));
            Ok(Report::new(
                json!({ "certificate": certificate, "key": key }),
                format!(
                    "Made a development authority.\n  {}: every process trusts this (tls.ca)\n  {}: signs certificates; keep it to yourself",
                    certificate.display(),
                    key.display()
                ),
            ))
        }
        CertificateCommand::Issue(arguments) => issue(arguments, clock),
        CertificateCommand::Show { file } => {
            let shown = show(file, clock.now())?;
            let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
            let text = facts(vec![
                ("name", shown.name.clone().unwrap_or_else(|| "none: an authority".to_owned())),
                ("subject", shown.subject.clone()),
                ("issuer", shown.issuer.clone()),
                ("not before", moment::written(shown.not_before_unix_ms)),
                ("not after", moment::written(shown.not_after_unix_ms)),
                ("valid now", yes(shown.valid)),
                ("for servers", yes(shown.server)),
                ("for clients", yes(shown.client)),
                ("hosts", shown.hosts.join(", ")),
            ]);
            Ok(Report::new(serde_json::to_value(&shown).expect("text, numbers and flags"), text))
        }
    }
}

fn issue(arguments: &IssueArguments, clock: &dyn Clock) -> Result<Report, Failure> {
    let now = clock.now();
    let not_after = arguments.not_after.unwrap_or_else(|| moment::days_after(now, arguments.days));
    let request = Request {
        peer: Peer {
            role: arguments.role,
            tenant: arguments.tenant.clone(),
            site: arguments.site.clone(),
            device: arguments.device.clone(),
        },
        validity: Validity::until(not_after, now),
        hosts: arguments.hosts.clone(),
    };
    let issued = Authority::open(&arguments.ca)?.issue(&request, &arguments.out, arguments.replace)?;
    let hosts: Vec<String> = issued.hosts.iter().map(ToString::to_string).collect();
    let name = issued.peer.to_string();
    let text = facts(vec![
        ("name", name.clone()),
        ("certificate", issued.certificate.display().to_string()),
        ("key", issued.key.display().to_string()),
        ("not after", moment::written(issued.not_after.unix_milliseconds())),
        ("hosts", hosts.join(", ")),
    ]);
    let json = json!({
        "name": name,
        "certificate": issued.certificate,
        "key": issued.key,
        "not_after_unix_ms": issued.not_after.unix_milliseconds(),
        "hosts": hosts,
    });
    Ok(Report::new(json, text))
}
