//! Hands that change in mid-capture.

use super::*;

#[test]
fn another_persons_hand_in_mid_capture_starts_it_over() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.view_of(1, Position::Left);
    visit.view_of(1, Position::Left);
    assert_eq!((visit.advice(), visit.taken()), (None, 2));
    visit.view_of(2, Position::Left);
    assert_eq!((visit.advice(), visit.taken()), (Some("another-palm"), 0), "neither palm is kept");
    assert_eq!(visit.frame(Presence::Present, None, None), Next::Rearm);
    visit.views(3, Position::Left);
    assert_eq!((visit.advice(), visit.taken()), (Some("another-palm"), 0), "it stays until the hand leaves");
    visit.wait(25);
    assert_eq!(visit.screen(), "capture", "patience begins anew");
    visit.frame(Presence::Left, Some(Guidance::ShowHand), None);
    assert_eq!(visit.advice(), Some("show-hand"));
    for taken in 1..VIEWS {
        visit.view_of(2, Position::Left);
        assert_eq!((visit.advice(), visit.taken()), (None, taken));
    }
    visit.view_of(2, Position::Left);
    assert_eq!(visit.screen(), "enrolling");
}

#[test]
fn the_persons_own_other_hand_in_mid_capture_costs_nothing() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.view(Position::Left);
    visit.view(Position::Right);
    assert_eq!((visit.advice(), visit.taken()), (Some("wrong-hand"), 1));
    visit.frame(Presence::Left, Some(Guidance::ShowHand), None);
    visit.views(VIEWS - 1, Position::Left);
    assert_eq!(visit.screen(), "enrolling");
}

#[test]
fn the_wrong_hand_has_its_own_words() {
    let mut visit = Visit::at_capture(&[Position::Left]);
    visit.view(Position::Right);
    assert_eq!((visit.advice(), visit.taken()), (Some("wrong-hand"), 0));
    assert_eq!(visit.frame(Presence::Present, None, None), Next::Rearm);
    assert_eq!(visit.advice(), Some("wrong-hand"), "it stays until the hand leaves");
    visit.frame(Presence::Left, Some(Guidance::ShowHand), None);
    assert_eq!(visit.advice(), Some("show-hand"));
    visit.view(Position::Left);
    assert_eq!((visit.advice(), visit.taken()), (None, 1));
}
