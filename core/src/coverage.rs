//! Which few of a palm's captures to keep, so that the captures to come find one that is near.

/// Up to `kept` of a palm's `views`, by number and in order: those to which the views come nearest when each looks for
/// the most alike of the kept ones **other than itself**, as a later capture would.
///
/// So a view that is like no other is not kept, however different it makes the set, and two that are like each other
/// do not both take a place that a third way of holding the hand needs. `likeness` is any measure that grows with
/// agreement; it is asked for pairs in both orders, probe first. Build and swap of k-medoids (Kaufman & Rousseeuw 1990),
/// with the view itself left out: the result is one that no exchange of one view betters. Ties keep the lower numbers.
pub fn covering(views: usize, kept: usize, likeness: impl Fn(usize, usize) -> f32) -> Vec<usize> {
    if views <= kept {
        return (0..views).collect();
    }
    let table: Vec<Vec<f32>> =
        (0..views).map(|probe| (0..views).map(|reference| likeness(probe, reference)).collect()).collect();
    let mut chosen = Vec::with_capacity(kept);
    while chosen.len() < kept {
        let next = (0..views).filter(|view| !chosen.contains(view)).map(|view| {
            let with: Vec<usize> = chosen.iter().copied().chain([view]).collect();
            (covered(&table, &with), view)
        });
        let Some((_, view)) = next.reduce(better) else { break };
        chosen.push(view);
    }
    let mut best = covered(&table, &chosen);
    while let Some((reached, exchanged)) = best_exchange(&table, &chosen) {
        if reached <= best {
            break;
        }
        (best, chosen) = (reached, exchanged);
    }
    chosen.sort_unstable();
    chosen
}

/// How well `chosen` cover all views: the mean likeness of each to the nearest other one chosen. A view that has none
/// has no say, which happens only while a single one is chosen.
fn covered(table: &[Vec<f32>], chosen: &[usize]) -> f64 {
    let nearest = table.iter().enumerate().filter_map(|(probe, row)| {
        let others = chosen.iter().filter(|&&reference| reference != probe);
        others.map(|&reference| f64::from(row[reference])).reduce(f64::max)
    });
    let (sum, count) = nearest.fold((0.0, 0.0), |(sum, count), likeness| (sum + likeness, count + 1.0));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// The best set that differs from `chosen` in one view.
fn best_exchange(table: &[Vec<f32>], chosen: &[usize]) -> Option<(f64, Vec<usize>)> {
    let places = (0..chosen.len()).flat_map(|place| (0..table.len()).map(move |view| (place, view)));
    let sets = places.filter(|(_, view)| !chosen.contains(view)).map(|(place, view)| {
        let mut set = chosen.to_vec();
        set[place] = view;
        (covered(table, &set), set)
    });
    sets.reduce(better)
}

/// The higher of two; the first if they are equal.
fn better<T>(a: (f64, T), b: (f64, T)) -> (f64, T) {
    if b.0 > a.0 { b } else { a }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Likeness of places on a line.
    fn of(places: &[f32]) -> impl Fn(usize, usize) -> f32 {
        move |a, b| -(places[a] - places[b]).abs()
    }

    #[test]
    fn few_views_are_all_kept() {
        assert!(covering(0, 3, |_, _| 0.0).is_empty());
        assert_eq!(covering(2, 3, |_, _| 0.0), [0, 1]);
        assert_eq!(covering(3, 3, |_, _| f32::NAN), [0, 1, 2]);
    }

    #[test]
    fn one_kept_is_the_middle_one() {
        assert_eq!(covering(5, 1, of(&[0.0, 9.0, 4.0, 1.0, 5.0])), [2]);
    }

    #[test]
    fn every_way_of_holding_the_hand_is_kept_once() {
        // Three ways, three views each.
        let places = [0.0, 0.1, 0.2, 10.0, 10.1, 10.2, 20.0, 20.1, 20.2];
        let ways: Vec<usize> = covering(9, 3, of(&places)).iter().map(|view| view / 3).collect();
        assert_eq!(ways, [0, 1, 2]);
    }

    #[test]
    fn a_view_like_no_other_is_left_out() {
        let places = [0.0, 0.1, 50.0, 5.0, 5.1, 0.2, 5.2];
        let kept = covering(7, 2, of(&places));
        assert!(!kept.contains(&2), "{kept:?}");
    }

    #[test]
    fn nothing_kept_is_nothing() {
        assert!(covering(4, 0, |_, _| 0.0).is_empty());
    }

    #[test]
    fn no_exchange_betters_the_result() {
        // Places without a pattern (Knuth's multiplicative hash).
        let places: Vec<f32> = (1..=12_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 20) as f32).collect();
        let table: Vec<Vec<f32>> = (0..12).map(|a| (0..12).map(|b| of(&places)(a, b)).collect()).collect();
        for kept in 1..=5 {
            let chosen = covering(12, kept, of(&places));
            assert_eq!(chosen.len(), kept);
            let (reached, other) = best_exchange(&table, &chosen).expect("there are others");
            assert!(reached <= covered(&table, &chosen), "{chosen:?} and {other:?}");
        }
    }
}
