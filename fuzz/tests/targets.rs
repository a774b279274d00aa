//! Every target with its seeds, with what failed before, and with altered seeds: the same ones each time.

use volar_fuzz::{TARGETS, failed, mutate, seeds};

/// Which seeds there are does not change from run to run, so a failure can be had again.
#[test]
fn seeds_are_the_same_every_time() {
    for target in &TARGETS {
        let seeds = seeds::of(target.name);
        assert!(!seeds.is_empty() && seeds == seeds::of(target.name), "{}", target.name);
        let bytes: Vec<Vec<u8>> = seeds.into_iter().map(|(_, bytes)| bytes).collect();
        assert_eq!(mutate::altered(&bytes, 7), mutate::altered(&bytes, 7));
    }
}

#[test]
fn nothing_from_outside_breaks_a_rule() {
    for target in &TARGETS {
        let mut seeds: Vec<Vec<u8>> = seeds::of(target.name).into_iter().map(|(_, bytes)| bytes).collect();
        seeds.extend(failed(target).iter().map(|path| std::fs::read(path).expect("readable")));
        seeds.iter().for_each(|seed| (target.run)(seed));
        let last = std::sync::atomic::AtomicU64::new(0);
        let tried = std::panic::catch_unwind(|| {
            for number in 0..target.tries.into() {
                last.store(number, std::sync::atomic::Ordering::SeqCst);
                (target.run)(&mutate::altered(&seeds, number));
            }
        });
        if tried.is_err() {
            let number = last.into_inner();
            let path = std::env::temp_dir().join(format!("volar-{}-{number}", target.name));
            std::fs::write(&path, mutate::altered(&seeds, number)).expect("writable");
            panic!("{} fails on {}: mend it, and keep that file in fuzz/failed/{0}/", target.name, path.display());
        }
    }
}
