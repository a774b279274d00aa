//! Retention: whose term is over goes, whoever came by stays, and the log says why.

use volar_core::audit::{Action, Leaf};
use volar_core::clock::Timestamp;
use volar_core::ticket::Purpose;
use volar_vault::error::VaultError;
use volar_vault::retention::{self, RULES, SiteSchedule};
use volar_vault::vault::Vault;

use crate::world::{World, checkout, operator, slug};

fn at(world: &World, text: &str) {
    let moment: jiff::Timestamp = text.parse().expect("RFC 3339");
    world.clock.set(Timestamp::from_unix_milliseconds(moment.as_millisecond() as u64));
}

/// A world whose people enrol at site north, where `jurisdiction` holds.
fn world(jurisdiction: &str, purpose_ends: Option<&str>) -> World {
    let mut world = World::new();
    let known = retention::read(RULES).expect("sound");
    let schedule = |id: &str, ends: Option<&str>| SiteSchedule {
        jurisdiction: retention::find(&known, id).expect("known").clone(),
        purpose_ends: ends.map(|date| date.parse().expect("a date")),
    };
    let sites = [(slug("north"), schedule(jurisdiction, purpose_ends))].into();
    world.settings.retention.tenants.insert(slug("acme"), (schedule("EU", None), sites));
    world
}

fn due(vault: &Vault) -> usize {
    vault.run_retention(&operator(), true).expect("listed").removals.len()
}

#[test]
fn people_go_on_their_day_and_not_before() {
    for (jurisdiction, enrolled, purpose_ends, before, on, rule) in [
        (
            "US-IL",
            "2024-02-29T10:00:00Z",
            None,
            "2027-02-27T23:59:59Z",
            "2027-02-28T00:00:00Z",
            "US-IL three-years-unused",
        ),
        (
            "US-IL",
            "2025-06-01T10:00:00Z",
            Some("2025-12-31"),
            "2025-12-30T23:59:59Z",
            "2025-12-31T00:00:00Z",
            "US-IL purpose-ended",
        ),
        (
            "US-TX",
            "2024-02-29T10:00:00Z",
            None,
            "2025-02-27T23:59:59Z",
            "2025-02-28T00:00:00Z",
            "US-TX one-year-unused",
        ),
        (
            "US-WA",
            "2025-03-01T23:59:59Z",
            None,
            "2027-02-28T23:59:59Z",
            "2027-03-01T00:00:00Z",
            "US-WA two-years-unused",
        ),
        ("EU", "2023-03-01T00:00:00Z", None, "2024-02-29T23:59:59Z", "2024-03-01T00:00:00Z", "EU one-year-unused"),
        (
            "default",
            "2025-12-31T23:59:59Z",
            None,
            "2026-12-30T23:59:59Z",
            "2026-12-31T00:00:00Z",
            "default one-year-unused",
        ),
    ] {
        let world = world(jurisdiction, purpose_ends);
        at(&world, enrolled);
        let vault = world.open();
        let subject = world.member(&vault);
        at(&world, before);
        assert_eq!(due(&vault), 0, "{jurisdiction}, the day before");
        at(&world, on);
        assert_eq!(due(&vault), 1, "{jurisdiction}, on the day");
        assert_eq!(due(&vault), 1, "a dry run erases nobody");
        let run = vault.run_retention(&operator(), false).expect("run");
        assert_eq!((run.examined, run.removals.len(), run.removals[0].subject), (1, 1, subject));
        assert_eq!(due(&vault), 0, "gone");
        let texts = vault.audit_leaves(&operator(), 0, 100).expect("readable");
        let leaves: Vec<Leaf> = texts.iter().map(|text| Leaf::parse(text).expect("a leaf")).collect();
        let erasure = leaves.iter().find(|leaf| leaf.action == Action::Erasure).expect("audited");
        assert!(erasure.detail.ends_with(&format!("retention {rule}")), "{}", erasure.detail);
        assert_eq!(leaves.last().map(|leaf| leaf.detail.as_str()), Some("schedule applied: 1 examined, 1 erased"));
        let claim = vault.claim(&checkout(), &world.call(0), &world.sealed(&vault, subject, Purpose::Admission));
        assert!(matches!(claim, Err(VaultError::SubjectErased)));
    }
}

#[test]
fn a_claim_begins_the_term_anew_and_nothing_else_does() {
    let world = world("US-TX", None);
    at(&world, "2024-06-01T12:00:00Z");
    let vault = world.open();
    let (stays, goes) = (world.member(&vault), world.member(&vault));
    at(&world, "2025-01-15T12:00:00Z");
    vault.claim(&checkout(), &world.call(0), &world.sealed(&vault, stays, Purpose::Admission)).expect("claimed");
    // Being looked at is no interaction.
    vault.export_subject(&operator(), &world.call(0), goes, false).expect("exported");
    at(&world, "2025-06-01T00:00:00Z");
    assert_eq!(vault.run_retention_for_all().expect("run"), 1);
    at(&world, "2026-01-14T23:00:00Z");
    assert_eq!(due(&vault), 0);
    drop(vault);
    let vault = world.open();
    at(&world, "2026-01-15T00:00:00Z");
    let run = vault.run_retention(&operator(), true).expect("listed");
    assert_eq!(run.removals.iter().map(|removal| removal.subject).collect::<Vec<_>>(), [stays]);
}

#[test]
fn other_tenants_and_sites_have_schedules_of_their_own() {
    let world = world("US-IL", None);
    at(&world, "2024-06-01T12:00:00Z");
    let vault = world.open();
    world.member(&vault);
    // A year later: over by the tenant's own schedule, which is the EU's, but not at this site.
    at(&world, "2026-06-01T12:00:00Z");
    assert_eq!(due(&vault), 0);
    let bolt = "spiffe://volar/bolt/north/operator/ops-1".parse().expect("a peer");
    assert_eq!(vault.run_retention(&bolt, true).expect("listed").examined, 0);
    let schedules = vault.retention_schedules(&operator()).expect("known");
    let named: Vec<_> =
        schedules.iter().map(|(sites, schedule)| (sites.clone(), schedule.jurisdiction.id.as_str())).collect();
    assert_eq!(named, [(vec!["north".to_owned()], "US-IL"), (Vec::new(), "EU")]);
}

#[test]
fn a_clock_years_ahead_erases_nobody_unattended() {
    let world = world("US-IL", None);
    at(&world, "2024-06-01T12:00:00Z");
    let vault = world.open();
    for _ in 0..11 {
        world.member(&vault);
    }
    at(&world, "2090-06-01T12:00:00Z");
    let refused = vault.run_retention_for_all();
    assert!(
        matches!(refused, Err(VaultError::RetentionUnattended { due: 11, examined: 11, most: 10, .. })),
        "{refused:?}"
    );
    assert_eq!(due(&vault), 11, "nobody is gone");
    assert_eq!(vault.run_retention(&operator(), false).expect("an operator's to decide").removals.len(), 11);
}
