//! Made-up templates: random directions and random orientation fields, so that no two people are alike.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use volar_core::protection::GalleryProtection;
use volar_core::secret::Key;
use volar_core::template::{
    EMBEDDING_DIMENSIONS, Embedding, FIELD_SIDE, ORIENTATIONS, OrientationField, Position, Quality, Template,
};
use volar_proto::v1::{EnrolledPalm, GetProtectionResponse, PalmPosition, Probe, Reference};

/// Protects templates for one gallery.
pub struct Palms {
    /// Its name.
    pub gallery: &'static str,
    protection: GalleryProtection,
    /// As the vault gave it.
    pub generation: u32,
    /// As the vault gave it.
    pub model: String,
}

/// Somebody with two palms.
pub struct Person {
    /// Unprotected.
    pub left: Template,
    /// Unprotected.
    pub right: Template,
}

impl Person {
    /// The person that `seed` fixes.
    pub fn new(seed: u64) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        Self { left: template(&mut random, Position::Left), right: template(&mut random, Position::Right) }
    }
}

/// A template of a palm that nobody has.
pub fn template(random: &mut impl Rng, position: Position) -> Template {
    // The sum of twelve uniform numbers is near enough to normal for a direction without preference.
    let mut normal = || (0..12).map(|_| random.random::<f32>()).sum::<f32>() - 6.0;
    let values: Vec<f32> = (0..EMBEDDING_DIMENSIONS).map(|_| normal()).collect();
    let cells: Vec<u8> = (0..FIELD_SIDE * FIELD_SIDE).map(|_| random.random_range(0..ORIENTATIONS)).collect();
    Template {
        position,
        quality: Quality::new(80).expect("within 0 to 100"),
        embedding: Embedding::normalized(&values).expect("random numbers have a direction"),
        orientations: vec![OrientationField::new(&cells).expect("each below six")],
    }
}

impl Palms {
    /// With the key of `gallery` that the vault gave.
    pub fn new(gallery: &'static str, protection: &GetProtectionResponse) -> Self {
        let key = Key::from_slice(&protection.key).expect("a key of 32 bytes");
        Self {
            gallery,
            protection: GalleryProtection::new(&key),
            generation: protection.generation,
            model: protection.model.clone(),
        }
    }

    /// Both palms, one reference each, as a kiosk sends them.
    pub fn enrolled(&self, person: &Person) -> Vec<EnrolledPalm> {
        let palm = |template: &Template, position| EnrolledPalm {
            position: position as i32,
            references: vec![self.reference(template)],
            probe: Some(self.protected_probe(template)),
        };
        vec![palm(&person.left, PalmPosition::Left), palm(&person.right, PalmPosition::Right)]
    }

    /// One stored view.
    pub fn reference(&self, template: &Template) -> Reference {
        let reference = self.protection.reference(template);
        Reference {
            embedding: reference.embedding.expose().to_vec(),
            orientation_code: reference.code.to_bytes(),
            quality: u32::from(reference.quality),
        }
    }

    /// The person's left palm, to be compared.
    pub fn probe(&self, person: &Person) -> Probe {
        self.protected_probe(&person.left)
    }

    fn protected_probe(&self, template: &Template) -> Probe {
        let probe = self.protection.probe(template);
        Probe {
            embedding: probe.embedding.expose().to_vec(),
            orientation_codes: probe.codes.iter().map(|code| code.to_bytes()).collect(),
            quality: u32::from(probe.quality),
        }
    }
}
