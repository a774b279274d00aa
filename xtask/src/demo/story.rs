//! The whole story without a person: what four people, a stranger and an operator do, and what must come of it.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};

use super::report::Report;
use crate::deployment::Deployment;
use crate::gate::Passage;
use crate::kiosk::Visit;

const BOTH: [&str; 2] = ["left", "right"];
/// Far longer than anybody would wait: a busy machine must not change the story.
const PATIENCE: Duration = Duration::from_secs(30);

/// Somebody in the story.
struct Person {
    name: &'static str,
    /// The test provider's account.
    account: String,
    /// Who it is to the simulator.
    seed: u64,
    /// What they chose for when their palm is not sure enough.
    code: Option<&'static str>,
}

impl Person {
    fn customer(&self) -> String {
        format!("cus_test_{}", self.account)
    }

    fn hand(&self, hand: &str, sample: u64) -> Value {
        json!({"show": "hand", "person": self.seed, "position": hand, "sample": sample})
    }
}

/// Tells it, on any state folder: people whom an earlier run enrolled are others. With `token`, the vault's keys are in
/// one, and are renewed on the way.
pub fn tell(deployment: &mut Deployment, token: bool) -> anyhow::Result<Report> {
    let earlier = deployment.operator().last_sequence()?;
    let cast = ["anna", "ben", "chloe", "dora", "stranger"];
    let [anna, ben, chloe, dora, stranger] = cast.map(|name| person(name, earlier));
    let anna = Person { code: Some("8074"), ..anna };
    let mut story = Teller { deployment, report: Report::begin(), failures_in_row: 0 };

    if token {
        story.keys_are_in_the_token()?;
    }
    for who in [&anna, &ben, &dora] {
        story.enrolls(who, who.name, "active")?;
    }
    let before = story.subjects()?;
    story.enrolls(&chloe, "chloe", "active")?;
    let chloe_subject = story.newcomer(&before)?;

    for (who, hand) in [(&anna, "left"), (&ben, "right"), (&chloe, "left"), (&dora, "right")] {
        let ticket = story.walks_in(who, hand, 1, "admitted")?;
        story.pays(who, ticket.as_deref())?;
        if who.name == "anna" {
            story.pays_again(ticket.as_deref())?;
        }
    }
    story.walks_in(&stranger, "left", 1, "no-match")?;

    let before = story.subjects()?;
    let other_name = Person { account: format!("{}-again", ben.account), ..person("ben", earlier) };
    story.enrolls(&other_name, "ben, once more under another account,", "in-review")?;
    let second = story.newcomer(&before)?;
    story.is_in_review(&second)?;
    story.is_decided(&second, "the same person", "--same-person", "erased")?;
    let ticket = story.walks_in(&ben, "left", 2, "admitted")?;
    story.pays(&ben, ticket.as_deref())?;

    story.is_erased_by_operator("chloe", &chloe_subject)?;
    story.walks_in(&chloe, "left", 2, "no-match")?;
    story.removes_herself(&dora)?;
    story.walks_in(&dora, "left", 3, "no-match")?;
    if token {
        story.keys_are_renewed()?;
    }
    let ticket = story.walks_in(&anna, "right", 2, "admitted")?;
    story.pays(&anna, ticket.as_deref())?;

    // Twins, to this simulator: one palm, so that every capture of it is unsure.
    let twin = Person { account: format!("{}-twin", anna.account), code: Some("51293"), ..person("anna", earlier) };
    let before = story.subjects()?;
    story.enrolls(&twin, "anna's twin, with a code,", "in-review")?;
    let second = story.newcomer(&before)?;
    story.is_decided(&second, "another person", "--different-person", "active")?;
    story.types(&anna, 3, "9631", "rejected")?;
    let ticket = story.types(&anna, 4, "8074", "admitted")?;
    story.pays(&anna, ticket.as_deref())?;
    Ok(story.report)
}

fn person(name: &'static str, earlier: u64) -> Person {
    let number = match name {
        "anna" => 1,
        "ben" => 2,
        "chloe" => 3,
        "dora" => 4,
        _ => 5,
    };
    // A feed that has grown by nothing has enrolled nobody, so no seed is used twice.
    let account = if earlier == 0 { name.to_owned() } else { format!("{name}-{earlier}") };
    Person { name, account, seed: 1_000 + 10 * earlier + number, code: None }
}

struct Teller<'a> {
    deployment: &'a mut Deployment,
    report: Report,
    failures_in_row: u32,
}

impl Teller<'_> {
    fn enrolls(&mut self, who: &Person, called: &str, expected: &str) -> anyhow::Result<()> {
        let kiosk = self.deployment.kiosk()?;
        let visit = Visit { hands: &BOTH, account: Some(&who.account), code: who.code };
        let step = format!("{called} enrols both palms");
        self.report.step(step, expected, || Ok((kiosk.enroll(&visit, |hand| who.hand(hand, 0))?, ())))?;
        Ok(())
    }

    fn walks_in(&mut self, who: &Person, hand: &str, sample: u64, expected: &str) -> anyhow::Result<Option<String>> {
        self.deployment.avoid_lockout(&mut self.failures_in_row)?;
        let gate = self.deployment.gate()?;
        let step = format!("{} walks in, {hand} hand", who.name);
        let passage = self.report.step(step, expected, || {
            let passage = gate.walk_in(&who.hand(hand, sample), &json!({"show": "empty"}), PATIENCE)?;
            let decision = if passage.decision.is_empty() { "nothing captured" } else { &passage.decision };
            Ok((decision.to_owned(), passage))
        })?;
        let Passage { decision, ticket, .. } = passage.unwrap_or_default();
        self.failures_in_row = if decision == "admitted" { 0 } else { self.failures_in_row + 1 };
        Ok(ticket)
    }

    fn pays(&mut self, who: &Person, ticket: Option<&str>) -> anyhow::Result<()> {
        let operator = self.deployment.operator();
        self.report.step(format!("{} pays", who.name), who.customer(), || {
            let customer = operator.claim(ticket.context("no ticket")?)?;
            Ok((customer.unwrap_or_else(|reason| reason), ()))
        })?;
        Ok(())
    }

    fn pays_again(&mut self, ticket: Option<&str>) -> anyhow::Result<()> {
        let operator = self.deployment.operator();
        self.report.step("the same ticket is claimed again", "TICKET_ALREADY_CLAIMED", || {
            let customer = operator.claim(ticket.context("no ticket")?)?;
            Ok((customer.unwrap_or_else(|reason| reason), ()))
        })?;
        Ok(())
    }

    fn keys_are_in_the_token(&mut self) -> anyhow::Result<()> {
        let (operator, folder) = (self.deployment.operator(), self.deployment.folder().to_owned());
        let expected = format!("PKCS#11 token \"{}\", keys not extractable", crate::token::LABEL);
        let holder = self.report.step("where the vault's keys are", expected, || {
            let status = operator.run(&["keys", "status"])?;
            anyhow::ensure!(!folder.join("keys/vault.key").exists(), "there is a key file too");
            let holder = status["holder"].as_str().unwrap_or_default().to_owned();
            Ok((holder.clone(), holder))
        })?;
        self.report.key_holder = holder;
        Ok(())
    }

    /// Everything goes under a new key, made in the token, and the old one is destroyed there.
    fn keys_are_renewed(&mut self) -> anyhow::Result<()> {
        let operator = self.deployment.operator();
        let versions = |status: &Value| -> Vec<u64> {
            let versions = status["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
            versions.iter().filter_map(|version| version["version"].as_u64()).collect()
        };
        let before = versions(&operator.run(&["keys", "status"])?).last().copied().unwrap_or_default();
        let expected = format!("version {} alone", before + 1);
        self.report.step("an operator renews the vault's keys", expected, || {
            let after = versions(&operator.run(&["keys", "rotate"])?);
            Ok((
                match after[..] {
                    [version] => format!("version {version} alone"),
                    _ => format!("versions {after:?}"),
                },
                (),
            ))
        })?;
        Ok(())
    }

    fn is_in_review(&mut self, subject: &str) -> anyhow::Result<()> {
        let operator = self.deployment.operator();
        self.report.step("the second enrolment waits for a person's review", "listed", || {
            let listed = operator.reviews()?.iter().any(|review| review["subject_id"] == *subject);
            Ok((if listed { "listed" } else { "not listed" }.to_owned(), ()))
        })?;
        Ok(())
    }

    fn is_decided(&mut self, subject: &str, what: &str, flag: &str, expected: &str) -> anyhow::Result<()> {
        let operator = self.deployment.operator();
        self.report.step(format!("the reviewer decides: {what}"), expected, || {
            let decided = operator.run(&["review", "decide", subject, flag])?;
            Ok((decided["state"].as_str().unwrap_or_default().to_owned(), ()))
        })?;
        Ok(())
    }

    fn types(&mut self, who: &Person, sample: u64, digits: &str, expected: &str) -> anyhow::Result<Option<String>> {
        let gate = self.deployment.gate()?;
        let whose = if who.code == Some(digits) { "their" } else { "a wrong" };
        let step = format!("{} walks in, is not told from the twin, and types {whose} code", who.name);
        let passage = self.report.step(step, expected, || {
            let (scene, empty) = (who.hand("left", sample), json!({"show": "empty"}));
            let passage = gate.walk_in_and_type(&scene, &empty, digits, PATIENCE)?;
            Ok((passage.decision.clone(), passage))
        })?;
        Ok(passage.unwrap_or_default().ticket)
    }

    fn is_erased_by_operator(&mut self, name: &str, subject: &str) -> anyhow::Result<()> {
        let operator = self.deployment.operator();
        self.report.step(format!("an operator erases {name}"), "receipt", || {
            let erased = operator.run(&["subject", "erase", subject, "--yes"])?;
            let receipt = erased.pointer("/receipt/receipt_id").or_else(|| erased.get("receipt_id"));
            Ok((if receipt.is_some_and(Value::is_string) { "receipt" } else { "no receipt" }.to_owned(), ()))
        })?;
        Ok(())
    }

    fn removes_herself(&mut self, who: &Person) -> anyhow::Result<()> {
        let kiosk = self.deployment.kiosk()?;
        let step = format!("{} has herself removed at the kiosk", who.name);
        self.report.step(step, "removed", || Ok((kiosk.remove(&who.hand("right", 2))?, ())))?;
        Ok(())
    }

    fn subjects(&self) -> anyhow::Result<HashSet<String>> {
        let subjects = self.deployment.operator().subjects()?;
        Ok(subjects.iter().filter_map(|subject| subject["subject_id"].as_str().map(str::to_owned)).collect())
    }

    /// Whom the list of subjects has since `before`. An operator sees no names.
    fn newcomer(&self, before: &HashSet<String>) -> anyhow::Result<String> {
        Ok(self.subjects()?.difference(before).next().cloned().unwrap_or_default())
    }
}
