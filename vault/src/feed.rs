//! The feed of a gallery: every change to its subjects, in order, numbered from 1 without gaps.
//!
//! What happened is always read from the store, and only what is durable is told: a follower never hears of an event
//! that a crash could take back. Events of persons erased since are told as erasures, so that numbers stay gapless and
//! nothing of them is left.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use volar_core::audit::Action;
use volar_core::id::{GalleryId, SiteId, SubjectId};
use volar_core::shard::Shard;
use volar_core::ticket::TicketKey;
use volar_service::identity::Peer;

use crate::audit::About;
use crate::error::VaultError;
use crate::followers::Connection;
use crate::format::FormatError;
use crate::format::v1::{self, Answer, Change, State};
use crate::format::v2::Membership;
use crate::format::v3::{self, Suspicion, Verdict};
use crate::format::v4;
use crate::rows::{self, Method};
use crate::store::{Rows, Table, Transaction};
use crate::vault::{Call, Gallery, SubjectKey, Tenant, Vault, probes_name};

mod reading;

/// One event as a follower hears it.
#[derive(Debug)]
pub struct FeedItem {
    /// One more than the event before.
    pub sequence: u64,
    /// Whom it is about.
    pub subject: SubjectId,
    /// What happened.
    pub news: News,
}

/// What happened to a subject.
#[derive(Debug)]
pub enum News {
    /// Palms to index.
    Enrolled {
        /// One or two palms.
        palms: Vec<v1::Palm>,
        /// A probe for each palm, if this follower's verdict is wanted.
        probes: Option<v1::PendingProbes>,
        /// Whether the follower's shard does not hold the subject: the palms have no references.
        elsewhere: bool,
    },
    /// May be admitted.
    Activated,
    /// Must not be admitted.
    Held,
    /// Must be forgotten.
    Erased,
}

/// What a follower learns first.
#[derive(Debug)]
pub struct FeedStart {
    /// Names the feed.
    pub feed_id: [u8; 16],
    /// The gallery's generation.
    pub generation: u32,
    /// The model of its references.
    pub model: String,
    /// The sites whose devices may search the gallery; none for every site of the tenant.
    pub sites: BTreeSet<SiteId>,
    /// The feed's last number now.
    pub last_sequence: u64,
    /// To be held while the follower follows; none for one that wants keys alone.
    pub connection: Option<Connection>,
}

/// Who reads events, and which part of the gallery they hold.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'a> {
    pub(crate) peer: &'a Peer,
    pub(crate) shard: Shard,
    /// The feed that was followed.
    pub(crate) feed_id: [u8; 16],
    /// The generation of what is read, as the feed's start said.
    pub(crate) generation: u32,
}

/// What a follower wants of a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Every event, and references of the shard's own subjects.
    Events(Shard),
    /// Ticket keys, and no event.
    Keys,
}

impl Vault {
    /// Begins to follow a gallery from `from_sequence` (at least 1) on.
    ///
    /// A follower that is ahead of the feed has heard of events that this store does not have: the store was restored
    /// from an older copy. The feed then gets a new id, at which every follower starts over.
    pub fn follow(
        &self,
        peer: &Peer,
        gallery: &GalleryId,
        from_sequence: u64,
        wanted: Wanted,
    ) -> Result<FeedStart, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let gallery = tenant.gallery(gallery)?;
        if wanted == Wanted::Keys {
            let head = head(tenant, self.rows(), &gallery.id)?;
            self.store.settle()?;
            return Ok(start(gallery, &head, None));
        }
        if from_sequence == 0 {
            return Err(VaultError::field("from_sequence", "must be at least 1; the feed starts at 1"));
        }
        let now = self.clock.now();
        let place = rows::gallery(&tenant.id, &gallery.id);
        let alone = self.changing_gallery.lock().unwrap_or_else(PoisonError::into_inner);
        let (head, renewed) = self.store.write(|transaction| {
            let row = rows::follower(&tenant.id, &gallery.id, &peer.device);
            self.put(tenant, transaction, Table::Followers, &row, &self.follower_row(now, from_sequence - 1))?;
            let head = head(tenant, transaction, &gallery.id)?;
            let mut renewed = None;
            if from_sequence > head.last_sequence + 1 {
                let stored = tenant.record::<v4::Gallery>(transaction, Table::Galleries, &place)?;
                let mut stored = stored.ok_or(VaultError::RecordMissing { kind: "gallery" })?;
                stored.feed_id = self.randomness.bytes();
                self.put(tenant, transaction, Table::Galleries, &place, &stored)?;
                renewed = Some(stored);
            }
            Ok((head, renewed))
        })?;
        if let Some(stored) = renewed {
            gallery.stand(&stored);
            gallery.rouse();
            tracing::warn!(
                gallery = %gallery.id, follower = %peer.device, from_sequence, last_sequence = head.last_sequence,
                "a follower knows later events than the store has: the store was restored from an older copy; \
                 followers start over"
            );
        }
        drop(alone);
        let acknowledged = (from_sequence - 1).min(head.last_sequence);
        let connection = self.followers.connect(&tenant.id, &gallery.id, &peer.device, acknowledged, now);
        Ok(start(gallery, &head, Some(connection)))
    }

    /// Up to `limit` events from number `from` on, and the feed's last number; all of it durable.
    pub fn events(
        &self,
        peer: &Peer,
        gallery: &GalleryId,
        shard: Shard,
        from: u64,
        limit: usize,
    ) -> Result<(Vec<FeedItem>, u64), VaultError> {
        let standing = self.tenant(&peer.tenant)?.gallery(gallery)?.standing();
        let reader = Reader { peer, shard, feed_id: standing.feed_id, generation: standing.generation };
        self.events_with(reader, gallery, from, limit, usize::MAX)
    }

    /// Refuses a feed that another has taken the place of.
    pub(crate) fn check_feed(&self, peer: &Peer, gallery: &GalleryId, feed_id: [u8; 16]) -> Result<(), VaultError> {
        let now = self.tenant(&peer.tenant)?.gallery(gallery)?.standing().feed_id;
        if now == feed_id { Ok(()) } else { Err(VaultError::FeedRenewed) }
    }

    /// The same, but fewer once `probes_max` of them have probes, which are large.
    pub(crate) fn events_with(
        &self,
        reader: Reader<'_>,
        gallery: &GalleryId,
        from: u64,
        limit: usize,
        probes_max: usize,
    ) -> Result<(Vec<FeedItem>, u64), VaultError> {
        let tenant = self.tenant(&reader.peer.tenant)?;
        self.check_feed(reader.peer, gallery, reader.feed_id)?;
        let gallery = tenant.gallery(gallery)?;
        let last = head(tenant, self.rows(), &gallery.id)?.last_sequence;
        let until = from.saturating_add(limit as u64).saturating_sub(1).min(last);
        let items = self.items(tenant, gallery, reader, from..=until, probes_max)?;
        self.store.settle()?;
        Ok((items, last))
    }

    fn item(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        reader: Reader<'_>,
        sequence: u64,
    ) -> Result<FeedItem, VaultError> {
        let row = rows::event(&tenant.id, &gallery.id, sequence);
        let event = tenant.record::<v1::Event>(self.rows(), Table::Feed, &row)?;
        let v1::Event { subject, change } = event.ok_or(VaultError::RecordMissing { kind: "feed event" })?;
        let erased = || -> Result<bool, VaultError> {
            Ok(self.rows().read(Table::Tombstones, &rows::subject(&tenant.id, subject))?.is_some())
        };
        let news = match change {
            _ if erased()? => News::Erased,
            Change::Erased => News::Erased,
            Change::Activated => News::Activated,
            Change::Held => News::Held,
            Change::Enrolled => match self.enrolled(tenant, gallery, reader, subject, sequence) {
                // Erased while it was being read.
                Err(_) if erased()? => News::Erased,
                news => news?,
            },
        };
        Ok(FeedItem { sequence, subject, news })
    }

    fn enrolled(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        reader: Reader<'_>,
        subject: SubjectId,
        sequence: u64,
    ) -> Result<News, VaultError> {
        let (record, key) = self.living(tenant, self.rows(), subject)?;
        let mut palms = Vec::with_capacity(record.positions.len());
        let elsewhere = !reader.shard.holds(subject);
        for &position in &record.positions {
            if elsewhere {
                palms.push(v1::Palm { position, references: Vec::new() });
                continue;
            }
            let row = rows::palm(&tenant.id, &gallery.id, sequence, position);
            let sealed = self.rows().read(Table::Palms, &row)?.ok_or(VaultError::RecordMissing { kind: "palm" })?;
            let palm = gallery.palm(tenant, &key, position, &sealed, reader.generation);
            palms.push(match palm {
                // Put under another generation since it was read, of which nothing is left.
                Err(VaultError::Format(FormatError::Forged { .. })) => {
                    let sealed = self.rows().read(Table::Palms, &row)?;
                    let sealed = sealed.ok_or(VaultError::RecordMissing { kind: "palm" })?;
                    gallery.palm(tenant, &key, position, &sealed, reader.generation)?
                }
                palm => palm?,
            });
        }
        let wanted = verdict_wanted(self, &record, gallery, reader);
        let probes = if wanted { self.store.blob(&probes_name(subject))? } else { None };
        let probes =
            probes.map(|sealed| self.probes_for(tenant, gallery, &key, &record, &sealed, reader)).transpose()?;
        Ok(News::Enrolled { palms, probes, elsewhere })
    }

    /// The probes that were made for one of somebody's galleries, as the reader's generation protects them.
    fn probes_for(
        &self,
        tenant: &Tenant,
        gallery: &Gallery,
        key: &SubjectKey,
        record: &v3::Subject,
        sealed: &[u8],
        reader: Reader<'_>,
    ) -> Result<v1::PendingProbes, VaultError> {
        let standing = gallery.standing();
        let (generations, all) = self.open_probes(tenant, key, record, sealed)?;
        let missing = || VaultError::RecordMissing { kind: "probe" };
        let (at, hands) = record.place_in(&gallery.id).ok_or_else(missing)?;
        let ours = all.probes.get(hands).ok_or_else(missing)?.iter();
        let probe = |probe: &v1::Probe| standing.probe(probe.clone(), generations[at], reader.generation);
        Ok(v1::PendingProbes { probes: ours.map(probe).collect::<Result<_, _>>()? })
    }

    /// Everything up to `sequence` has taken effect in the peer's memory.
    pub fn acknowledge(&self, peer: &Peer, gallery: &GalleryId, sequence: u64) -> Result<(), VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let gallery = tenant.gallery(gallery)?;
        let last = head(tenant, self.rows(), &gallery.id)?.last_sequence;
        if sequence > last {
            return Err(VaultError::SequenceAhead { sequence, last });
        }
        if self.pass_on(tenant, &gallery.id, &peer.device, sequence)? {
            return Ok(());
        }
        self.followers.acknowledge(&tenant.id, &gallery.id, &peer.device, sequence, self.clock.now());
        Ok(())
    }

    /// Takes a matcher's word on the subject enrolled at `sequence`, after a search of the part of the gallery that it holds.
    /// When every part has been searched by as many matchers as must, the subject becomes active; at the first suspicion
    /// it goes to review. Returns the state after it, `None` if erased.
    pub fn report_verdict(
        &self,
        peer: &Peer,
        call: &Call,
        gallery: &GalleryId,
        sequence: u64,
        shard: Shard,
        suspicion: Option<Suspicion>,
    ) -> Result<Option<State>, VaultError> {
        let tenant = self.tenant(&peer.tenant)?;
        let gallery = tenant.gallery(gallery)?;
        let method = Method::ReportVerdict;
        let (subject, state, moved) = self.store.write(|transaction| {
            let row = rows::event(&tenant.id, &gallery.id, sequence);
            let event = tenant.record::<v1::Event>(transaction, Table::Feed, &row)?;
            let Some(v1::Event { subject, change: Change::Enrolled }) = event else {
                return Err(VaultError::NotAnEnrollment { sequence });
            };
            if let Some(Answer::State(state)) = self.answered(tenant, transaction, &peer.device, method, call)? {
                return Ok((subject, state, None));
            }
            let (state, moved) = match self.living(tenant, transaction, subject) {
                Err(VaultError::SubjectErased) => (None, None),
                living => {
                    let (mut record, key) = living?;
                    let (device, gallery) = (peer.device.clone(), gallery.id.clone());
                    let verdict = Verdict { device, gallery, shard, suspicion };
                    let moved = if takes(&record, &verdict) {
                        let word = verdict.suspicion.map_or("clear", |_| "suspected duplicate");
                        let about = About::Living { key: &key, seen: false };
                        self.note(tenant, transaction, &peer.into(), Action::Verdict, about, word)?;
                        self.judge(tenant, transaction, &key, &mut record, verdict)?
                    } else {
                        None
                    };
                    (Some(record.state), moved)
                }
            };
            self.remember(tenant, transaction, &peer.device, method, call, Answer::State(state))?;
            Ok((subject, state, moved))
        })?;
        if let Some(memberships) = moved {
            self.decided(tenant, subject, &memberships)?;
        }
        Ok(state)
    }

    fn judge(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        key: &SubjectKey,
        record: &mut v3::Subject,
        verdict: Verdict,
    ) -> Result<Option<Vec<Membership>>, VaultError> {
        let suspected = verdict.suspicion.is_some();
        record.verdicts.push(verdict);
        if suspected {
            self.move_to(tenant, transaction, key, record, State::InReview).map(Some)
        } else if searched(record, self.settings.verdicts_required) {
            self.move_to(tenant, transaction, key, record, State::Active).map(Some)
        } else {
            self.save(tenant, transaction, key, record)?;
            Ok(None)
        }
    }

    /// After a subject has left pending, durably: its probes go, and whoever waits is told.
    fn decided(&self, tenant: &Tenant, subject: SubjectId, memberships: &[Membership]) -> Result<(), VaultError> {
        self.store.remove_blob(&probes_name(subject))?;
        tenant.wake(memberships);
        Ok(())
    }

    /// Changes where a subject stands and appends the event that tells it to each of their galleries; returns its numbers.
    pub(crate) fn move_to(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        key: &SubjectKey,
        record: &mut v3::Subject,
        to: State,
    ) -> Result<Vec<Membership>, VaultError> {
        let change = match to {
            State::Active => Change::Activated,
            State::InReview => Change::Held,
            State::Pending => unreachable!("nobody becomes pending again"),
        };
        let from = std::mem::replace(&mut record.state, to);
        self.save(tenant, transaction, key, record)?;
        let galleries = record.memberships.iter().map(|membership| &membership.gallery);
        for gallery in galleries.clone() {
            transaction.remove(Table::States, &rows::state(&tenant.id, gallery, from, key.subject))?;
            transaction.put(Table::States, &rows::state(&tenant.id, gallery, to, key.subject), &[])?;
        }
        self.append(tenant, transaction, galleries, key.subject, change, Some(from), Some(to))
    }

    pub(crate) fn save(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        key: &SubjectKey,
        record: &v3::Subject,
    ) -> Result<(), VaultError> {
        let row = rows::subject(&tenant.id, key.subject);
        Ok(transaction.put(Table::Subjects, &row, &key.seal(tenant, &row, record, &*self.randomness))?)
    }

    /// Appends an event that takes a subject from one state to another to each of `galleries`; returns its numbers.
    #[allow(clippy::too_many_arguments, reason = "one event's facts, in one place")]
    pub(crate) fn append<'a>(
        &self,
        tenant: &Tenant,
        transaction: &dyn Transaction,
        galleries: impl Iterator<Item = &'a GalleryId>,
        subject: SubjectId,
        change: Change,
        from: Option<State>,
        to: Option<State>,
    ) -> Result<Vec<Membership>, VaultError> {
        let append = |gallery: &GalleryId| {
            let mut head = head(tenant, transaction, gallery)?;
            head.last_sequence += 1;
            if let Some(from) = from {
                *count(&mut head, from) -= 1;
            }
            if let Some(to) = to {
                *count(&mut head, to) += 1;
            }
            self.put(tenant, transaction, Table::Heads, &rows::gallery(&tenant.id, gallery), &head)?;
            let row = rows::event(&tenant.id, gallery, head.last_sequence);
            self.put(tenant, transaction, Table::Feed, &row, &v1::Event { subject, change })?;
            Ok(Membership { gallery: gallery.clone(), sequence: head.last_sequence })
        };
        galleries.map(append).collect()
    }

    /// The key that seals a tenant's tickets now.
    pub fn ticket_key(&self, peer: &Peer) -> Result<TicketKey, VaultError> {
        Ok(self.tenant(&peer.tenant)?.keys.ticket_key(TicketKey::epoch_at(self.clock.now())))
    }
}

/// Whether a verdict is news: the subject waits for it, and this matcher has not spoken on this part of the gallery.
fn takes(record: &v3::Subject, verdict: &Verdict) -> bool {
    let place = |verdict: &Verdict| (verdict.device.clone(), verdict.gallery.clone(), verdict.shard);
    let spoken = |earlier: &Verdict| place(earlier) == place(verdict);
    record.state == State::Pending && !record.verdicts.iter().any(spoken)
}

/// Whether a reader's word on a subject is still needed, of `gallery`.
fn verdict_wanted(
    vault: &Vault,
    record: &v3::Subject,
    gallery: &Gallery,
    Reader { peer, shard, .. }: Reader<'_>,
) -> bool {
    let here = |verdict: &&Verdict| verdict.gallery == gallery.id && verdict.shard == shard;
    let mut spoken = record.verdicts.iter().filter(here);
    let judged = spoken.clone().count() >= vault.settings.verdicts_required
        || spoken.any(|verdict| verdict.device == peer.device);
    record.state == State::Pending && !judged
}

/// Whether so many matchers have searched all of each of somebody's galleries, each all of it or one of its parts.
fn searched(record: &v3::Subject, required: usize) -> bool {
    record.memberships.iter().all(|membership| searched_in(record, &membership.gallery) >= required)
}

fn searched_in(record: &v3::Subject, gallery: &GalleryId) -> usize {
    let verdicts = || record.verdicts.iter().filter(|verdict| verdict.gallery == *gallery);
    let by = |shard: Shard| verdicts().filter(|verdict| verdict.shard == shard).count();
    let whole = |count: u16| {
        let parts = (0..count).map(|index| Shard::new(index.into(), count.into()).map_or(0, by));
        parts.min().unwrap_or(0)
    };
    let counts: BTreeSet<u16> = verdicts().map(|verdict| verdict.shard.count()).collect();
    counts.into_iter().map(whole).sum()
}

fn start(gallery: &Gallery, head: &v1::Head, connection: Option<Connection>) -> FeedStart {
    let standing = gallery.standing();
    FeedStart {
        feed_id: standing.feed_id,
        generation: standing.generation,
        model: gallery.model.to_string(),
        sites: gallery.sites.clone(),
        last_sequence: head.last_sequence,
        connection,
    }
}

/// Where a gallery's feed ends.
pub(crate) fn head(tenant: &Tenant, rows: &dyn Rows, gallery: &GalleryId) -> Result<v1::Head, VaultError> {
    Ok(tenant.record(rows, Table::Heads, &rows::gallery(&tenant.id, gallery))?.unwrap_or_default())
}

fn count(head: &mut v1::Head, state: State) -> &mut u64 {
    match state {
        State::Pending => &mut head.pending,
        State::Active => &mut head.active,
        State::InReview => &mut head.in_review,
    }
}
