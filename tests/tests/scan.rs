//! What must not be on disk, in logs or in core files: templates, pixels, payment tokens, card numbers, keys.

use std::fs;
use std::path::{Path, PathBuf};

use volar_proto::v1::{BindPaymentRequest, PaymentReference};
use volar_tests::client::{enroll, fresh_id};
use volar_tests::palms::Person;
use volar_tests::system::System;

/// Every file below a folder, with its content.
pub(crate) struct Files(Vec<(PathBuf, Vec<u8>)>);

impl Files {
    /// Reads them all. Certificates are public, and private keys lie in `certificates` and `keys/vault.key` on purpose.
    pub(crate) fn below(folder: &Path) -> Self {
        let mut files = Self(Vec::new());
        files.collect(folder);
        assert!(files.0.iter().any(|(path, _)| path.ends_with("vault.log")), "the logs are among them");
        assert!(files.0.iter().any(|(path, _)| path.components().any(|part| part.as_os_str() == "store")));
        files
    }

    fn collect(&mut self, folder: &Path) {
        for entry in fs::read_dir(folder).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                self.collect(&path);
            } else {
                let content = fs::read(&path).expect("readable");
                self.0.push((path, content));
            }
        }
    }

    pub(crate) fn assert_absent(&self, what: &str, secret: &[u8]) {
        assert!(secret.len() >= 8, "{what} is too short to look for");
        for (path, content) in &self.0 {
            let found = content.windows(secret.len()).position(|window| window == secret);
            assert_eq!(found, None, "{what} lies in {}", path.display());
        }
    }

    /// Neither JPEG nor PNG.
    pub(crate) fn assert_no_pictures(&mut self) {
        self.assert_absent("a PNG", b"\x89PNG\r\n\x1a\n");
        self.assert_absent("a JPEG", b"\x10JFIF\0\x01\x01");
        self.assert_absent("a JPEG's quantisation tables", b"\xff\xd8\xff\xe0\x00\x10JF");
    }

    /// No run of 14 to 19 digits that starts like a card number and has its checksum (PCI DSS 3.3.1). Digits after a
    /// decimal point are a measurement.
    pub(crate) fn assert_no_card_numbers(&self) {
        for (path, content) in &self.0 {
            let mut at = 0;
            for digits in content.split(|byte| !byte.is_ascii_digit()) {
                let fraction = at > 0 && content[at - 1] == b'.';
                at += digits.len() + 1;
                let issuer = digits.first().is_some_and(|first| b"3456".contains(first));
                let card = !fraction && (14..=19).contains(&digits.len()) && issuer && luhn(digits);
                assert!(!card, "{} lies in {}", String::from_utf8_lossy(digits), path.display());
            }
        }
    }
}

/// ISO/IEC 7812-1, annex B.
fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(at, digit)| {
            let value = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    sum.is_multiple_of(10)
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    assert!(luhn(b"4111111111111111") && !luhn(b"4111111111111112"));
    Files(vec![("x".into(), b"took 0.4111111111111111 ms".to_vec())]).assert_no_card_numbers();
    let files = Files(vec![("x".into(), b"card 4111111111111111..".to_vec())]);
    assert!(std::panic::catch_unwind(|| files.assert_no_card_numbers()).is_err());
    assert!(std::panic::catch_unwind(|| files.assert_absent("text", b"11111111")).is_err());
    files.assert_absent("text", b"22222222");
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// Looks for a template in every form that a careless write would leave: whole is not needed, a piece gives it away.
fn assert_no_template(files: &Files, what: &str, embedding: &[f32], code: &[u8]) {
    for piece in [0, 100, 248] {
        files.assert_absent(&format!("{what}'s embedding"), &floats(&embedding[piece..piece + 4]));
        let big: Vec<u8> = embedding[piece..piece + 4].iter().flat_map(|value| value.to_be_bytes()).collect();
        files.assert_absent(&format!("{what}'s embedding"), &big);
        // The longest of a few: a number that happens to be round is found anywhere.
        let texts = embedding[piece..piece + 4].iter().map(f32::to_string);
        let text = texts.max_by_key(String::len).expect("four numbers");
        files.assert_absent(&format!("{what}'s embedding as text"), text.as_bytes());
    }
    for piece in [0, code.len() / 2, code.len() - 16] {
        files.assert_absent(&format!("{what}'s orientation code"), &code[piece..piece + 16]);
        let text = hex::encode(&code[piece..piece + 16]);
        files.assert_absent(&format!("{what}'s orientation code as text"), text.as_bytes());
    }
}

#[tokio::test]
async fn disk_and_logs_hold_no_template_token_or_key() {
    // Everything that could be told is told.
    let loud = |name| (name, "[telemetry]\nlog_level = \"debug\"".to_owned());
    let mut system = System::servers_with(vec![loud("vault"), loud("matcher")]);
    let clients = system.clients();
    let palms = clients.palms().await;
    let people: Vec<Person> = (1..=8).map(Person::new).collect();
    let mut tickets = Vec::new();
    for (number, person) in people.iter().enumerate() {
        let request = enroll(&palms, person, true);
        let enrollment_id = clients.enrollment().enroll(request).await.expect("a good one").into_inner().enrollment_id;
        let payment = PaymentReference {
            provider: "test".to_owned(),
            customer: format!("cus_secret_{number}"),
            payment_method: format!("pm_secret_{number}"),
            label: format!("Label of account {number}"),
        };
        let payment = Some(payment);
        let bind = BindPaymentRequest { idempotency_id: fresh_id(), enrollment_id: enrollment_id.clone(), payment };
        clients.enrollment().bind_payment(bind).await.expect("a token");
        clients.settled(&enrollment_id).await;
        tickets.push(clients.admit(&palms, person).await.ticket);
        clients.claim(tickets.last().expect("just pushed")).await.expect("theirs");
    }
    check_process(system.deployment.vault_process().expect("it runs").id());
    check_process(system.deployment.matcher_process().expect("it runs").id());
    system.deployment.stop();

    let mut files = Files::below(system.folder());
    for person in &people {
        let cells = &person.left.orientations[0];
        assert_no_template(&files, "a plain template", person.left.embedding.expose(), cells.expose());
        let reference = palms.reference(&person.left);
        assert_no_template(&files, "a protected template", &reference.embedding, &reference.orientation_code);
    }
    for text in ["cus_secret_", "pm_secret_", "Label of account"] {
        files.assert_absent("a payment token", text.as_bytes());
    }
    for ticket in &tickets {
        files.assert_absent("a ticket", &ticket[5..21]);
    }
    files.assert_no_pictures();
    files.assert_no_card_numbers();
    let key = fs::read(system.folder().join("keys/vault.key")).expect("the key file");
    let elsewhere = Files(files.0.into_iter().filter(|(path, _)| !path.ends_with("vault.key")).collect());
    elsewhere.assert_absent("the tenant key's file", key.trim_ascii());
}

/// No core files, no debugger, and memory locked where the system allows it.
fn check_process(id: u32) {
    let limits = fs::read_to_string(format!("/proc/{id}/limits")).expect("readable");
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).expect("Linux says it");
    let numbers: Vec<&str> = core.split_whitespace().skip(4).take(2).collect();
    assert_eq!(numbers, ["0", "0"], "{core}");
    // The files in /proc of a process that may not be dumped belong to root, whoever runs it; for root itself they
    // would anyway, so the status says more: locked memory.
    if rustix::process::geteuid().is_root() {
        let status = fs::read_to_string(format!("/proc/{id}/status")).expect("readable");
        let locked = status.lines().find_map(|line| line.strip_prefix("VmLck:")).expect("Linux says it");
        let kibibytes: u64 = locked.trim().trim_end_matches(" kB").parse().expect("a number");
        assert!(kibibytes > 0, "process {id} has no memory locked");
    } else {
        use std::os::unix::fs::MetadataExt;
        let owner = fs::metadata(format!("/proc/{id}/environ")).expect("it runs").uid();
        assert_eq!(owner, 0, "process {id} can be dumped");
    }
}
