//! Access and portability: everything that is kept about one person, for that person (GDPR, articles 15 and 20).

use volar_core::audit::Action;
use volar_core::clock::Timestamp;
use volar_core::id::{GalleryId, ModelId, SubjectId};
use volar_core::second_factor::Kind;
use volar_service::identity::Peer;

use crate::audit::About;
use crate::error::VaultError;
use crate::format::v1::{self, Answer, Palm};
use crate::format::{v2, v3};
use crate::rows::{self, Method};
use crate::store::Table;
use crate::vault::{Call, Vault};

/// What is kept about a person.
pub struct Exported {
    /// Who.
    pub id: SubjectId,
    /// Their enrollment and release.
    pub subject: v3::Subject,
    /// How they pay, if they do; whoever hands it out shows the provider and the label only.
    pub payment: Option<v1::Payment>,
    /// What their second factor is, if they have one; its digits are kept nowhere.
    pub second_factor: Option<Kind>,
    /// Their last interaction.
    pub last_seen: Timestamp,
    /// What each of their galleries holds of them.
    pub memberships: Vec<ExportedMembership>,
    /// Leaves of the audit log about them, oldest first, with the salts that open them.
    pub leaves: Vec<(String, [u8; 32])>,
}

/// What a gallery holds of a person.
pub struct ExportedMembership {
    /// The gallery.
    pub gallery: GalleryId,
    /// The model of their references.
    pub model: ModelId,
    /// The generation of their references' protection.
    pub generation: u32,
    /// Their protected references.
    pub palms: Vec<Palm>,
}

impl Vault {
    /// Gives out what is kept about a person, and notes that it was given.
    pub fn export_subject(
        &self,
        peer: &Peer,
        call: &Call,
        subject: SubjectId,
        with_templates: bool,
    ) -> Result<Exported, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        self.store.write(|transaction| {
            let (record, key) = self.living(tenant, transaction, subject)?;
            let method = Method::ExportSubject;
            if self.answered(tenant, transaction, &peer.device, method, call)?.is_none() {
                let what = if with_templates { "access, with templates" } else { "access" };
                let about = About::Living { key: &key, seen: false };
                self.note(tenant, transaction, &peer.into(), Action::Export, about, what)?;
                let answer = Answer::State(Some(record.state));
                self.remember(tenant, transaction, &peer.device, method, call, answer)?;
            }
            let row = rows::subject(&tenant.id, subject);
            let payment = transaction.read(Table::Payments, &row)?;
            let payment = payment.map(|sealed| key.open(tenant, &row, &sealed)).transpose()?;
            let mut memberships = Vec::with_capacity(record.memberships.len());
            for v2::Membership { gallery, sequence } in &record.memberships {
                let gallery = tenant.gallery(gallery)?;
                let generation = gallery.standing().generation;
                let mut palms = Vec::with_capacity(record.positions.len());
                for &position in &record.positions {
                    let sealed =
                        transaction.read(Table::Palms, &rows::palm(&tenant.id, &gallery.id, *sequence, position))?;
                    let sealed = sealed.ok_or(VaultError::RecordMissing { kind: "palm" })?;
                    palms.push(gallery.palm(tenant, &key, position, &sealed, generation)?);
                }
                let (id, model) = (gallery.id.clone(), gallery.model.clone());
                memberships.push(ExportedMembership { gallery: id, model, generation, palms });
            }
            Ok(Exported {
                id: subject,
                payment,
                second_factor: self.factor(tenant, transaction, &key)?.map(|factor| factor.kind),
                last_seen: self.last_seen(tenant, transaction, &key)?.unwrap_or(record.enrolled_at),
                memberships,
                leaves: self.trail(tenant, transaction, &key)?,
                subject: record,
            })
        })
    }
}
