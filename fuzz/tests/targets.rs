//! Every target with its seeds, with what failed before, and with altered seeds: the same ones each time.

use std::collections::BTreeMap;

use volar_fuzz::{TARGETS, kept, mutate, seeds};

#[test]
fn seeds_are_what_the_encoders_write() {
    for target in &TARGETS {
        let kept = kept("seeds", target).into_iter().map(|path| {
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read(path).expect("readable"))
        });
        let (kept, made): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (kept.collect(), seeds::of(target.name).into_iter().collect());
        // Which JPEG encoder OpenCV has differs from machine to machine.
        let same = |name: &String| name == "jpeg" || kept.get(name) == made.get(name);
        assert!(kept.keys().eq(made.keys()) && kept.keys().all(same), "{}: run the example \"seeds\"", target.name);
        assert!(!kept.is_empty(), "{}", target.name);
    }
}

#[test]
fn nothing_from_outside_breaks_a_rule() {
    for target in &TARGETS {
        let read = |folder| kept(folder, target).iter().map(|path| std::fs::read(path).expect("readable")).collect();
        let mut seeds: Vec<Vec<u8>> = read("seeds");
        let failed: Vec<Vec<u8>> = read("failed");
        seeds.extend(failed);
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
