//! A gallery protected anew: whoever is in it is known under the new key without showing a hand, nothing of the old one
//! compares any more, and neither crashes nor people who come and go meanwhile lose anybody.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use volar_core::id::{EnrollmentId, GalleryId, SubjectId};
use volar_core::protection::GalleryProtection;
use volar_core::shard::Shard;
use volar_core::template::{
    Embedding, EnrolledPalm, FIELD_SIDE, ORIENTATIONS, OrientationField, Position, Probe, ProtectedCode,
    ProtectedEmbedding, Quality, Reference, Template,
};
use volar_vault::enrollment::{Enroll, Join};
use volar_vault::erasure::Erase;
use volar_vault::error::VaultError;
use volar_vault::feed::{FeedItem, News};
use volar_vault::format::v1;
use volar_vault::store::StoreError;
use volar_vault::vault::Vault;

use crate::world::{
    Engine, Postgres, SharedPostgres, Sled, World, WorldOver, kiosk, look_around_until, matcher, members, operator,
    slug,
};

/// Somebody's left palm, plain.
fn template<E>(world: &WorldOver<E>) -> Template {
    let values: [u8; 256] = world.randomness.bytes();
    let values: Vec<f32> = values.iter().map(|&byte| f32::from(byte) - 127.5).collect();
    let mut cells = [0_u8; FIELD_SIDE * FIELD_SIDE];
    world.randomness.fill(&mut cells);
    cells.iter_mut().for_each(|cell| *cell %= ORIENTATIONS);
    Template {
        position: Position::Left,
        quality: Quality::new(80).expect("in range"),
        embedding: Embedding::normalized(&values).expect("not zero"),
        orientations: vec![OrientationField::new(&cells).expect("cells below six")],
    }
}

fn protection(vault: &Vault, gallery: &GalleryId) -> (GalleryProtection, u32) {
    let found = vault.protection(&slug("acme"), gallery).expect("there");
    (GalleryProtection::new(&found.key), found.generation)
}

fn enroll<E: Engine>(world: &WorldOver<E>, vault: &Vault, palm: &Template) -> Result<EnrollmentId, VaultError> {
    let (protection, generation) = protection(vault, &members());
    let palms = vec![EnrolledPalm {
        position: palm.position,
        references: vec![protection.reference(palm)],
        probe: protection.probe(palm),
    }];
    let join = Join { gallery: members(), generation, model: slug("palm-lines-3"), palms };
    let request = Enroll { memberships: vec![join], consent: Some(world.consent()), payment_follows: false };
    vault.enroll(&kiosk(), &world.call(0), &request)
}

fn events(vault: &Vault) -> Vec<FeedItem> {
    vault.events(&matcher(), &members(), Shard::WHOLE, 1, 100_000).expect("readable").0
}

/// The references, and perhaps the probe, that a matcher is sent of each subject.
fn told(vault: &Vault) -> BTreeMap<SubjectId, (Reference, Option<Probe>)> {
    let quality = |value: u8| Quality::new(value.into()).expect("in range");
    let embedding = |values: &[f32]| ProtectedEmbedding::from_untrusted(values).expect("a unit vector");
    let code = |bytes: &[u8]| ProtectedCode::from_untrusted(bytes).expect("a code");
    let reference = |one: &v1::Reference| Reference {
        embedding: embedding(&one.embedding),
        code: code(&one.code),
        quality: quality(one.quality),
    };
    let probe = |one: &v1::Probe| Probe {
        embedding: embedding(&one.embedding),
        codes: one.codes.chunks(384).map(code).collect(),
        quality: quality(one.quality),
    };
    let enrolled = events(vault).into_iter().filter_map(|item| match item.news {
        News::Enrolled { palms, probes, .. } => {
            let probe = probes.map(|probes| probe(&probes.probes[0]));
            Some((item.subject, (reference(&palms[0].references[0]), probe)))
        }
        _ => None,
    });
    enrolled.collect()
}

fn renewed(vault: &Vault, from: u32) {
    vault.begin_reprotection(&operator(), &members(), from).expect("begun");
    vault.finish_reprotection(&slug("acme"), &members()).expect("finished");
}

fn is_of(reference: &Reference, probe: &Probe) -> bool {
    probe.cosine(reference) > 0.999 && probe.code_distance(reference) == 0.0
}

fn is_a_stranger(reference: &Reference, probe: &Probe) -> bool {
    // Unrelated unit vectors of 256 dimensions: standard deviation 1/16.
    probe.cosine(reference).abs() < 5.0 / 16.0 && probe.code_distance(reference) > 0.4
}

fn clear<E: Engine>(world: &WorldOver<E>, vault: &Vault) {
    for item in events(vault) {
        if let News::Enrolled { probes: Some(_), .. } = item.news {
            vault
                .report_verdict(&matcher(), &world.call(0), &members(), item.sequence, Shard::WHOLE, None)
                .expect("reported");
        }
    }
}

fn over<E: Engine>() {
    let world = WorldOver::<E>::new();
    let vault = world.open();
    let palms: Vec<Template> = (0..6).map(|_| template(&world)).collect();
    for palm in &palms[..4] {
        enroll(&world, &vault, palm).expect("enrolled");
    }
    clear(&world, &vault);
    // These wait for a matcher's verdict all the while.
    for palm in &palms[4..] {
        enroll(&world, &vault, palm).expect("enrolled");
    }
    let subjects: Vec<SubjectId> = events(&vault)
        .iter()
        .filter(|item| matches!(item.news, News::Enrolled { .. }))
        .map(|item| item.subject)
        .collect();
    let (old, _) = protection(&vault, &members());
    let (start, feed) = (told(&vault), follow(&vault));

    renewed(&vault, 1);
    let (new, generation) = protection(&vault, &members());
    assert_eq!(generation, 2);
    assert_ne!(follow(&vault), feed, "matchers must start over");
    let check = |vault: &Vault| {
        let told = told(vault);
        for (number, (subject, palm)) in subjects.iter().zip(&palms).enumerate() {
            let (reference, probe) = &told[subject];
            assert!(is_of(reference, &new.probe(palm)), "{number} is not known under the new key");
            assert!(is_a_stranger(reference, &old.probe(palm)), "{number}: an old probe compares");
            assert!(is_a_stranger(&start[subject].0, &new.probe(palm)), "{number}: an old reference compares");
            assert_eq!(probe.is_some(), number >= 4, "{number}: who waits for a verdict waits on");
            let finds = |probe: &Probe| is_of(&new.reference(palm), probe);
            assert!(probe.as_ref().is_none_or(finds), "{number}: the pending probe is another's");
        }
    };
    check(&vault);
    // Whoever comes with the old key is told, and nothing of theirs is kept.
    let palm = template(&world);
    let join = Join {
        gallery: members(),
        generation: 1,
        model: slug("palm-lines-3"),
        palms: vec![EnrolledPalm {
            position: palm.position,
            references: vec![old.reference(&palm)],
            probe: old.probe(&palm),
        }],
    };
    let late = Enroll { memberships: vec![join], consent: Some(world.consent()), payment_follows: false };
    let refused = vault.enroll(&kiosk(), &world.call(0), &late);
    assert!(matches!(refused, Err(VaultError::GenerationMismatch { found: 1, current: 2 })));
    // Asking twice is asking once, and nothing is asked of a generation that is not there.
    renewed(&vault, 1);
    assert_eq!(protection(&vault, &members()).1, 2);
    for wrong in [0, 3] {
        let begun = vault.begin_reprotection(&operator(), &members(), wrong);
        assert!(matches!(begun, Err(VaultError::Field { .. })), "{wrong}");
    }
    drop(vault);
    let vault = world.open();
    check(&vault);
    let status = vault.status(&operator()).expect("readable");
    assert_eq!((status[0].generation, &status[0].renewal), (2, &None));
    // And again: everything is of one generation, and no more than two are ever there.
    renewed(&vault, 2);
    let (newest, _) = protection(&vault, &members());
    let told = told(&vault);
    assert!(subjects.iter().zip(&palms).all(|(subject, palm)| is_of(&told[subject].0, &newest.probe(palm))));
    assert!(enroll(&world, &vault, &template(&world)).is_ok());
    // The other tenant's gallery of the same name is its own.
    let bolt = "spiffe://volar/bolt/north/operator/ops-1".parse().expect("a peer's name");
    assert_eq!(vault.status(&bolt).expect("readable")[0].generation, 1);
}

fn follow(vault: &Vault) -> [u8; 16] {
    let wanted = volar_vault::feed::Wanted::Events(Shard::WHOLE);
    vault.follow(&matcher(), &members(), 1, wanted).expect("followed").feed_id
}

#[test]
fn everybody_is_known_under_the_new_key_and_nothing_under_the_old_one() {
    over::<Sled>();
}

#[test]
fn the_same_in_postgresql() {
    over::<Postgres>();
}

/// Closing stands in for a crash: the vault forgets all that is not in its store.
#[test]
fn interrupted_at_any_step_it_goes_on() {
    let world = World::new();
    let vault = world.open();
    let palms: Vec<Template> = (0..150).map(|_| template(&world)).collect();
    for palm in &palms {
        enroll(&world, &vault, palm).expect("enrolled");
    }
    let (old, _) = protection(&vault, &members());
    vault.begin_reprotection(&operator(), &members(), 1).expect("begun");
    drop(vault);
    let (mut stops, mut generations) = (0, BTreeMap::new());
    for round in 0.. {
        let vault = world.open();
        // Half-way a matcher reads what the current generation would have made, whatever is stored.
        let (now, generation) = protection(&vault, &members());
        let told = told(&vault);
        assert_eq!(told.len(), palms.len());
        let known = palms.iter().filter(|palm| {
            let probe = now.probe(palm);
            told.values().any(|(reference, _)| is_of(reference, &probe))
        });
        assert_eq!(known.count(), palms.len(), "round {round}, generation {generation}");
        *generations.entry(generation).or_insert(0) += 1;
        let closer = {
            let vault = Arc::clone(&vault);
            std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(round));
                vault.close();
            })
        };
        let ended = vault.finish_reprotection(&slug("acme"), &members());
        closer.join().expect("no panic");
        match ended {
            Ok(()) => break,
            Err(VaultError::Closing) => stops += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(stops > 2, "stopped {stops} times only");
    let vault = world.open();
    assert_eq!(vault.status(&operator()).expect("readable")[0].renewal, None);
    let told = told(&vault);
    assert!(palms.iter().all(|palm| told.values().all(|(reference, _)| is_a_stranger(reference, &old.probe(palm)))));
}

#[test]
fn people_come_and_go_meanwhile() {
    let world = Arc::new(World::new());
    let vault = world.open();
    for _ in 0..100 {
        enroll(&world, &vault, &template(&*world)).expect("enrolled");
    }
    let stop = Arc::new(AtomicBool::new(false));
    let come = {
        let (world, vault, stop) = (world.clone(), vault.clone(), stop.clone());
        std::thread::spawn(move || {
            let (mut came, mut refused) = (Vec::new(), 0);
            while !stop.load(Ordering::SeqCst) {
                let palm = template(&*world);
                match enroll(&world, &vault, &palm) {
                    Ok(_) => came.push(palm),
                    // Protected under the key that has just gone: a kiosk fetches the new one and asks again.
                    Err(VaultError::GenerationMismatch { .. }) => refused += 1,
                    Err(error) => panic!("{error}"),
                }
            }
            (came, refused)
        })
    };
    let gone: Vec<SubjectId> = told(&vault).keys().copied().step_by(3).collect();
    let go = {
        let (world, vault, gone) = (world.clone(), vault.clone(), gone.clone());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            for subject in gone {
                let operator = operator();
                let erased = vault.erase(&operator, world.call(0), Erase::Subject(subject));
                runtime.block_on(erased).expect("erased");
            }
        })
    };
    for from in 1..=3 {
        renewed(&vault, from);
    }
    go.join().expect("no panic");
    stop.store(true, Ordering::SeqCst);
    let (came, refused) = come.join().expect("no panic");
    assert!(came.len() > 10, "{} came, {refused} refused", came.len());
    renewed(&vault, 4);
    let (now, generation) = protection(&vault, &members());
    assert_eq!(generation, 5);
    let told = told(&vault);
    assert_eq!(told.len(), 100 - gone.len() + came.len());
    assert!(gone.iter().all(|subject| !told.contains_key(subject)));
    for palm in &came {
        let probe = now.probe(palm);
        let own = told.values().find(|(reference, _)| is_of(reference, &probe)).expect("known under the newest key");
        assert!(own.1.as_ref().is_some_and(|probe| is_of(&now.reference(palm), probe)), "and their probe is theirs");
    }
}

/// People come at three vaults, one of which protects the gallery anew, and then another.
#[test]
fn one_of_several_vaults_does_it_and_all_take_it_up() {
    let world = WorldOver::<SharedPostgres>::new();
    let vaults: Vec<Arc<Vault>> = (0..3).map(|_| world.open()).collect();
    let ended = AtomicBool::new(false);
    let came: Vec<Template> = std::thread::scope(|scope| {
        let mut writers = Vec::new();
        for vault in &vaults {
            let (world, ended) = (&world, &ended);
            scope.spawn(move || look_around_until(vault, ended));
            writers.push(scope.spawn(move || {
                let mut came = Vec::new();
                while !ended.load(Ordering::SeqCst) {
                    let palm = template(world);
                    match enroll(world, vault, &palm) {
                        Ok(_) => came.push(palm),
                        // A kiosk fetches the new key, or asks again.
                        Err(VaultError::GenerationMismatch { .. } | VaultError::Store(StoreError::Outdated)) => {}
                        Err(error) => panic!("{error}"),
                    }
                }
                came
            }));
        }
        std::thread::sleep(Duration::from_millis(300));
        for (vault, from) in vaults.iter().zip(1..=2) {
            renewed(vault, from);
        }
        std::thread::sleep(Duration::from_millis(200));
        ended.store(true, Ordering::SeqCst);
        writers.into_iter().flat_map(|writer| writer.join().expect("no panic")).collect()
    });
    assert!(came.len() > 20, "{} came", came.len());
    for vault in &vaults {
        vault.look_around().expect("readable");
        let (now, generation) = protection(vault, &members());
        assert_eq!(generation, 3);
        assert_eq!(vault.status(&operator()).expect("readable")[0].renewal, None);
        let told = told(vault);
        assert_eq!(told.len(), came.len());
        for palm in &came {
            let probe = now.probe(palm);
            let own =
                told.values().find(|(reference, _)| is_of(reference, &probe)).expect("known under the newest key");
            assert!(
                own.1.as_ref().is_some_and(|probe| is_of(&now.reference(palm), probe)),
                "and their probe is theirs"
            );
        }
    }
    assert!(follow(&vaults[0]) == follow(&vaults[1]) && follow(&vaults[1]) == follow(&vaults[2]));
}

/// It has the old key still, and nothing that it is given under it is kept.
#[test]
fn a_vault_that_has_not_heard_of_the_new_key_enrols_nobody() {
    let world = WorldOver::<SharedPostgres>::new();
    let (one, deaf) = (world.open(), world.open());
    let palms: Vec<Template> = (0..3).map(|_| template(&world)).collect();
    enroll(&world, &deaf, &palms[0]).expect("enrolled");
    one.begin_reprotection(&operator(), &members(), 1).expect("begun");
    assert!(matches!(enroll(&world, &deaf, &palms[1]), Err(VaultError::Store(StoreError::Outdated))));
    one.finish_reprotection(&slug("acme"), &members()).expect("finished");
    assert_eq!(protection(&deaf, &members()).1, 1);
    assert!(matches!(enroll(&world, &deaf, &palms[1]), Err(VaultError::Store(StoreError::Outdated))));
    deaf.look_around().expect("readable");
    enroll(&world, &deaf, &palms[2]).expect("enrolled under the new key");
    let (now, generation) = protection(&one, &members());
    assert_eq!((generation, told(&one).len()), (2, 2));
    for palm in [&palms[0], &palms[2]] {
        assert!(told(&one).values().any(|(reference, _)| is_of(reference, &now.probe(palm))));
    }
}

/// One that began it dies; another goes on.
#[test]
fn a_renewal_that_a_dead_vault_began_another_finishes() {
    let world = WorldOver::<SharedPostgres>::new();
    let (dies, lives) = (world.open(), world.open());
    let palm = template(&world);
    enroll(&world, &dies, &palm).expect("enrolled");
    dies.begin_reprotection(&operator(), &members(), 1).expect("begun");
    drop(dies);
    lives.look_around().expect("readable");
    lives.resume_reprotections().expect("resumed");
    let begun = std::time::Instant::now();
    while lives.status(&operator()).expect("readable")[0].renewal.is_some() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never finished");
        std::thread::sleep(Duration::from_millis(10));
    }
    let (now, generation) = protection(&lives, &members());
    assert_eq!(generation, 2);
    assert!(told(&lives).values().all(|(reference, _)| is_of(reference, &now.probe(&palm))));
}

#[test]
fn in_the_background_it_ends_by_itself_and_every_step_is_audited() {
    let world = World::new();
    let vault = world.open();
    enroll(&world, &vault, &template(&world)).expect("enrolled");
    vault.reprotect_gallery(&operator(), &members(), 1).expect("begun");
    while vault.status(&operator()).expect("readable")[0].renewal.is_some() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let leaves = vault.audit_leaves(&operator(), 0, 100).expect("readable");
    let said = |words: &str| leaves.iter().filter(|leaf| leaf.contains(words)).count();
    assert_eq!(said("the key of generation 2 of gallery members was made"), 1);
    assert_eq!(said("gallery members is protected under generation 2"), 1);
    assert_eq!(said("the key of generation 1 of gallery members was removed"), 1);
    assert!(matches!(
        vault.reprotect_gallery(&operator(), &slug("nowhere"), 1),
        Err(VaultError::GalleryUnknown { .. })
    ));
}
