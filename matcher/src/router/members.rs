//! Who the replicas of a shard are: the addresses behind a list of names.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use volar_service::tls::{TlsConfig, TlsError, host_and_port};

use super::Replica;
use crate::parameters::REPLICA_LOOKUP;

/// The replicas of one shard, as they are now.
pub trait Members: Send + Sync {
    /// All of them, well or not.
    fn replicas(&self) -> Vec<Arc<Replica>>;
}

impl Members for Vec<Arc<Replica>> {
    fn replicas(&self) -> Vec<Arc<Replica>> {
        self.clone()
    }
}

/// Replicas by name. Every address that a name has is a replica, so that a list of hosts and one DNS name for all of them
/// work alike; names are looked up again and again.
pub struct NamedReplicas {
    tls: TlsConfig,
    /// Host and port.
    names: Vec<(String, u16)>,
    known: RwLock<BTreeMap<SocketAddr, Arc<Replica>>>,
}

impl NamedReplicas {
    /// Replicas at `urls`, none before [`NamedReplicas::run`] has looked them up.
    pub fn new(tls: TlsConfig, urls: &[String]) -> Result<Self, TlsError> {
        let names = urls.iter().map(|url| host_and_port(url)).collect::<Result<_, _>>()?;
        Ok(Self { tls, names, known: RwLock::default() })
    }

    /// Looks names up until `shutdown`.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let look_always = async {
            loop {
                self.look_up().await;
                sleep(REPLICA_LOOKUP).await;
            }
        };
        shutdown.run_until_cancelled(look_always).await;
    }

    async fn look_up(&self) {
        let mut found = BTreeMap::new();
        let mut whole = true;
        for (host, port) in &self.names {
            match tokio::net::lookup_host((host.as_str(), *port)).await {
                Ok(addresses) => found.extend(addresses.map(|address| (address, host))),
                Err(error) => {
                    whole = false;
                    tracing::warn!(host, %error, "a replica's name cannot be looked up");
                }
            }
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // A name server that is away takes no replica along.
        known.retain(|address, _| !whole || found.contains_key(address));
        for (address, host) in found {
            if known.contains_key(&address) {
                continue;
            }
            match self.tls.endpoint_at(address, host) {
                Ok(endpoint) => {
                    let replica = Replica::new(format!("{host} at {address}"), endpoint.connect_lazy());
                    known.insert(address, Arc::new(replica));
                }
                Err(error) => tracing::error!(host, %error, "a replica cannot be called"),
            }
        }
    }
}

impl Members for NamedReplicas {
    fn replicas(&self) -> Vec<Arc<Replica>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}
