//! What operators see and decide. Nothing here shows a template or a payment token.

use std::collections::BTreeSet;
use std::sync::Arc;

use volar_core::audit::Action;
use volar_core::id::{GalleryId, ModelId, SiteId, SubjectId};
use volar_service::identity::Peer;

use crate::audit::About;
use crate::erasure::Why;
use crate::error::VaultError;
use crate::feed::head;
use crate::followers::FollowerStatus;
use crate::format::v1::{Answer, Head, State};
use crate::format::v3;
use crate::parameters::{PAGE_SIZE_DEFAULT, PAGE_SIZE_MAX};
use crate::progress::ProgressStatus;
use crate::rows::{self, Method};
use crate::store::Table;
use crate::vault::{Call, Vault, blocking};

/// One gallery as an operator sees it.
#[derive(Debug)]
pub struct GalleryStatus {
    /// The gallery.
    pub gallery: GalleryId,
    /// Its generation.
    pub generation: u32,
    /// While it is protected anew: the generation that is being taken up, or left, and how far that is.
    pub renewal: Option<(u32, ProgressStatus)>,
    /// Its model.
    pub model: ModelId,
    /// Where its feed ends and how many subjects stand where.
    pub head: Head,
    /// The sites that may use it; none for every site of the tenant.
    pub sites: BTreeSet<SiteId>,
    /// Its followers.
    pub followers: Vec<FollowerStatus>,
}

/// A page of subjects and where the next one starts.
#[derive(Debug)]
pub struct Page {
    /// The subjects, with their records.
    pub subjects: Vec<(SubjectId, v3::Subject)>,
    /// Token of the next page; empty on the last.
    pub next: String,
}

/// What a person decided in a review.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReviewDecision {
    /// Two people.
    DifferentPerson,
    /// One person twice.
    SamePerson,
}

impl Vault {
    /// Every gallery of the peer's tenant.
    pub fn status(&self, peer: &Peer) -> Result<Vec<GalleryStatus>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let now = self.clock.now();
        let status = |gallery: &crate::vault::Gallery| {
            let standing = gallery.standing();
            Ok(GalleryStatus {
                gallery: gallery.id.clone(),
                generation: standing.generation,
                renewal: standing.other_generation().map(|other| (other, gallery.renewal.status())),
                model: gallery.model.clone(),
                sites: gallery.sites.clone(),
                head: head(tenant, self.rows(), &gallery.id)?,
                followers: self.followers.of(&tenant.id, &gallery.id, now),
            })
        };
        let galleries = tenant.galleries.values().map(status).collect::<Result<_, VaultError>>()?;
        self.store.settle()?;
        Ok(galleries)
    }

    /// A page of a gallery's subjects, in one state or in every state but erased. `size` 0 is the default size.
    pub fn subjects(
        &self,
        peer: &Peer,
        gallery: &GalleryId,
        state: Option<State>,
        size: usize,
        token: &str,
    ) -> Result<Page, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let gallery = tenant.gallery(gallery)?;
        if size > PAGE_SIZE_MAX {
            return Err(VaultError::field("page_size", format!("must be at most {PAGE_SIZE_MAX}")));
        }
        let size = if size == 0 { PAGE_SIZE_DEFAULT } else { size };
        let prefix = match state {
            Some(state) => rows::states(&tenant.id, &gallery.id, state),
            None => rows::gallery(&tenant.id, &gallery.id),
        };
        let position =
            hex::decode(token).map_err(|_| VaultError::field("page_token", "must come from the page before"))?;
        let from = [rows::gallery(&tenant.id, &gallery.id), position].concat();
        // One more than asked for tells where the next page starts.
        let mut found = self.store.scan(Table::States, &prefix, &from, size + 1)?;
        let here = rows::gallery(&tenant.id, &gallery.id).len();
        let next = if found.len() > size {
            found.pop().map(|(key, _)| hex::encode(&key[here..])).unwrap_or_default()
        } else {
            String::new()
        };
        let mut subjects = Vec::with_capacity(found.len());
        for (key, _) in &found {
            let bytes = key[here..].get(1..).and_then(|bytes| bytes.try_into().ok());
            let subject = SubjectId::from_bytes(bytes.ok_or(VaultError::RecordMissing { kind: "subject" })?);
            match self.living(tenant, self.rows(), subject) {
                // Erased since the scan.
                Err(VaultError::SubjectErased) => {}
                living => subjects.push((subject, living?.0)),
            }
        }
        self.store.settle()?;
        Ok(Page { subjects, next })
    }

    /// Ends a review. Returns the state after it, `None` for erased.
    pub async fn decide_review(
        self: &Arc<Self>,
        peer: &Peer,
        call: Call,
        subject: SubjectId,
        decision: ReviewDecision,
    ) -> Result<Option<State>, VaultError> {
        let asking = peer.clone();
        let state = blocking(self, move |vault| vault.write_decision(&asking, &call, subject, decision)).await?;
        if state.is_none() {
            self.receipt(peer, subject).await?;
        }
        Ok(state)
    }

    fn write_decision(
        &self,
        peer: &Peer,
        call: &Call,
        subject: SubjectId,
        decision: ReviewDecision,
    ) -> Result<Option<State>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let (state, moved) = self.store.write(|transaction| {
            if let Some(Answer::State(state)) =
                self.answered(tenant, transaction, &peer.device, Method::DecideReview, call)?
            {
                return Ok((state, None));
            }
            let (mut record, key) = self.living(tenant, transaction, subject)?;
            if record.state != State::InReview {
                return Err(VaultError::NotInReview);
            }
            let word = match decision {
                ReviewDecision::DifferentPerson => "different person",
                ReviewDecision::SamePerson => "same person",
            };
            let about = About::Living { key: &key, seen: false };
            self.note(tenant, transaction, &peer.into(), Action::Review, about, word)?;
            let (state, moved) = match decision {
                ReviewDecision::DifferentPerson => {
                    (Some(State::Active), Some(self.move_to(tenant, transaction, &key, &mut record, State::Active)?))
                }
                ReviewDecision::SamePerson => {
                    self.mark_erased(tenant, transaction, subject, &Why::of(peer, "found to be enrolled twice"))?;
                    (None, None)
                }
            };
            self.remember(tenant, transaction, &peer.device, Method::DecideReview, call, Answer::State(state))?;
            Ok((state, moved))
        })?;
        tenant.wake(&moved.unwrap_or_default());
        Ok(state)
    }
}
