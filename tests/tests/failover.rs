//! The vault on a PostgreSQL cluster whose primary is killed while kiosks enrol. `cargo xtask bench failover` does it ten
//! times, and cuts networks and standbys off too.

use volar_tests::failover::Failover;
use volar_tests::patroni::Network;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_primary_loses_nothing_acknowledged_and_writes_go_on_at_a_standby() {
    let failover = Failover::start(Network::Loopback).await;
    failover.wait_for_writes().await;
    let before = failover.acknowledged();
    let (outage, whole) = failover.kill_primary().await;
    assert!(failover.acknowledged() > before);
    let outcome = failover.finish().await;
    println!("no writes for {outage:.1?}; {whole:.1?}; {outcome:?}");
}
