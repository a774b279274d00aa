//! Where the servers of a cluster are, and cutting them off.

use std::process::Command;

/// How the servers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback addresses: needs no rights, and cannot be cut.
    Loopback,
    /// A network namespace for each, with one link to the other servers and one to the vault. Needs root.
    Namespaces,
}

/// Addresses of one server.
#[derive(Clone, Debug)]
pub(super) struct Place {
    /// Where the other servers and their etcd reach it.
    pub(super) peer: String,
    /// Where the vault reaches it.
    pub(super) client: String,
    /// The namespace that its processes run in.
    pub(super) namespace: Option<String>,
}

/// Interfaces' names may have 15 letters.
fn tag() -> u32 {
    std::process::id() % 100_000
}

/// A third number of addresses that another run beside this one does not have.
fn subnet() -> u32 {
    std::process::id() % 250
}

impl Network {
    /// Makes the links, if it takes any.
    pub(super) fn build(self, nodes: usize) -> Vec<Place> {
        if self == Self::Loopback {
            let (high, low) = (64 + std::process::id() / 250 % 128, subnet());
            let at = |number| format!("127.{high}.{low}.{}", 11 + number);
            let place = |number| Place { peer: at(number), client: at(number), namespace: None };
            return (0..nodes).map(place).collect();
        }
        assert!(rustix::process::geteuid().is_root(), "networks that can be cut take root: run this as root");
        let (tag, subnet) = (tag(), subnet());
        for (side, address) in [("p", None), ("c", Some(format!("10.214.{subnet}.1/24")))] {
            let bridge = format!("v{side}b{tag}");
            ip(&format!("link add {bridge} type bridge"));
            address.iter().for_each(|address| ip(&format!("address add {address} dev {bridge}")));
            ip(&format!("link set {bridge} up"));
        }
        (0..nodes).map(|number| join(number, tag, subnet)).collect()
    }

    /// Cuts or mends a server's link to the others.
    pub(super) fn peers(self, number: usize, up: bool) {
        self.link("p", number, up);
    }

    /// Cuts or mends a server's link to the vault.
    pub(super) fn clients(self, number: usize, up: bool) {
        self.link("c", number, up);
    }

    fn link(self, side: &str, number: usize, up: bool) {
        assert_eq!(self, Self::Namespaces, "loopback addresses cannot be cut");
        // The outer end leaves the bridge: no packet passes, and neither end is told, as when a switch fails.
        let (outer, bridge) = (format!("v{side}{number}o{}", tag()), format!("v{side}b{}", tag()));
        ip(&if up { format!("link set {outer} master {bridge}") } else { format!("link set {outer} nomaster") });
    }

    /// Shell commands that remove everything.
    pub(super) fn removal(self, nodes: usize) -> String {
        if self == Self::Loopback {
            return String::new();
        }
        let tag = tag();
        let namespaces = (0..nodes).map(|number| format!("ip netns delete volar-{tag}-{number}\n"));
        let bridges = ["p", "c"].map(|side| format!("ip link delete v{side}b{tag}\n"));
        namespaces.chain(bridges).collect()
    }
}

/// Makes one server's namespace and its two links.
fn join(number: usize, tag: u32, subnet: u32) -> Place {
    let namespace = format!("volar-{tag}-{number}");
    ip(&format!("netns add {namespace}"));
    ip(&format!("-n {namespace} link set lo up"));
    let at = |second: u32| format!("10.{second}.{subnet}.{}", 11 + number);
    for (side, second) in [("p", 213), ("c", 214)] {
        let (outer, inner) = (format!("v{side}{number}o{tag}"), format!("v{side}{number}i{tag}"));
        ip(&format!("link add {outer} type veth peer name {inner} netns {namespace}"));
        ip(&format!("link set {outer} master v{side}b{tag}"));
        ip(&format!("link set {outer} up"));
        ip(&format!("-n {namespace} address add {}/24 dev {inner}", at(second)));
        ip(&format!("-n {namespace} link set {inner} up"));
    }
    Place { peer: at(213), client: at(214), namespace: Some(namespace) }
}

fn ip(words: &str) {
    let output = Command::new("ip").args(words.split(' ')).output().expect("iproute2 is installed");
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}
