//! The second factor's screen.

use volar_core::second_factor::{Digits, DigitsError, Kind};
use zeroize::Zeroizing;

use super::*;
use crate::second_factor::{Chosen, FactorError};

fn chosen() -> Result<Chosen, FactorError> {
    let digits = Digits::new(Zeroizing::new("8074".to_owned())).expect("digits");
    Ok(Chosen { kind: Kind::Code, digits })
}

/// Somebody whose palms are stored, at a kiosk that offers a second factor.
fn at_factor(standing: Standing) -> (Visit, u64) {
    let mut visit = Visit::new();
    let rules = Rules { second_factor: true, ..visit.session.rules.clone() };
    visit = Visit::with(rules);
    visit.session.start(Language::De, visit.now).expect("from the welcome");
    visit.session.consent(consent(), visit.now).expect("from the notice");
    visit.session.choose_hands(&[Position::Left], visit.now).expect("from the hands");
    visit.views(VIEWS, Position::Left);
    let number = visit.session.number();
    visit.session.enrolled(number, EnrollmentId::from_bytes([7; 16]), visit.now);
    if standing == Standing::Pending {
        visit.now = visit.now.after(VERDICT_PATIENCE);
    }
    visit.session.stands(number, standing, visit.now);
    visit.effects();
    assert_eq!(visit.screen(), "second-factor");
    (visit, number)
}

#[test]
fn a_factor_is_kept_before_the_payment() {
    let (mut visit, number) = at_factor(Standing::Active);
    let refused = Err(FactorError::Digits(DigitsError::Guessable));
    visit.session.choose_factor(refused, visit.now).expect("the screen is up");
    assert_eq!((visit.screen(), visit.effects().len()), ("second-factor", 0), "and says why");
    visit.session.choose_factor(chosen(), visit.now).expect("the screen is up");
    assert_eq!(visit.effects(), ["keep-factor"]);
    assert_eq!(visit.session.choose_factor(chosen(), visit.now), Err(OrderError::SecondFactorBusy));
    assert_eq!(visit.session.skip_factor(visit.now), Err(OrderError::SecondFactorBusy));
    visit.session.factor_kept(number, Err(FactorError::NotStored), visit.now);
    assert_eq!((visit.screen(), visit.effects().len()), ("second-factor", 0));
    visit.session.choose_factor(chosen(), visit.now).expect("again");
    visit.session.factor_kept(number, Ok(Standing::Active), visit.now);
    assert_eq!((visit.screen(), visit.effects()), ("payment", vec!["keep-factor", "begin-payment"]));
    visit.session.factor_kept(number, Ok(Standing::Active), visit.now);
    assert_eq!((visit.screen(), visit.effects().len()), ("payment", 0), "once");
}

#[test]
fn a_factor_may_be_left_out() {
    let (mut visit, _) = at_factor(Standing::Active);
    visit.session.skip_factor(visit.now).expect("the screen is up");
    assert_eq!((visit.screen(), visit.effects()), ("payment", vec!["begin-payment"]));
    let wrong = OrderError::WrongScreen { wanted: "second-factor", screen: "payment" };
    assert_eq!(visit.session.choose_factor(chosen(), visit.now), Err(wrong.clone()));
    assert_eq!(visit.session.skip_factor(visit.now), Err(wrong));
}

#[test]
fn a_verdict_that_comes_meanwhile_is_not_lost() {
    let (mut visit, number) = at_factor(Standing::Pending);
    visit.session.choose_factor(chosen(), visit.now).expect("the screen is up");
    assert!(!visit.session.stands(number, Standing::InReview, visit.now));
    visit.session.factor_kept(number, Ok(Standing::Pending), visit.now);
    let Phase::Payment { standing, .. } = visit.session.phase else { panic!("the payment") };
    assert_eq!(standing, Standing::InReview);
}

#[test]
fn whoever_leaves_the_factor_is_cancelled_and_an_enrollment_that_is_gone_ends_the_visit() {
    let (mut visit, _) = at_factor(Standing::Active);
    visit.wait(60);
    assert_eq!((visit.screen(), visit.effects()), ("welcome", vec!["cancel", "forget"]));
    let (mut visit, _) = at_factor(Standing::Active);
    visit.session.decline(visit.now);
    assert_eq!((visit.screen(), visit.effects()), ("declined", vec!["cancel", "forget"]));
    let (mut visit, number) = at_factor(Standing::Active);
    visit.session.choose_factor(chosen(), visit.now).expect("the screen is up");
    visit.session.factor_kept(number, Err(FactorError::EnrollmentGone), visit.now);
    assert_eq!(visit.screen(), "result");
    let (mut visit, number) = at_factor(Standing::Active);
    visit.session.waits_for(number, Some(Missing::Vault));
    assert_eq!(visit.screen(), "unavailable", "the vault is away");
}
