//! The vault over PostgreSQL, on a real server.

pub(crate) mod citus;
mod company;
mod conformance;
mod full;
mod kill;
mod moving;
mod opening;
mod rotating;
#[path = "."]
mod same {
    //! What holds over sled, over PostgreSQL.

    #[path = "../flows.rs"]
    mod flows;
    #[path = "../lifetimes.rs"]
    mod lifetimes;
    #[path = "../model.rs"]
    mod model;

    type World = crate::world::WorldOver<crate::world::Postgres>;
}
#[path = "."]
mod shared {
    //! The same where others may share the store.

    #[path = "../flows.rs"]
    mod flows;
    #[path = "../lifetimes.rs"]
    mod lifetimes;
    #[path = "../model.rs"]
    mod model;

    type World = crate::world::WorldOver<crate::world::SharedPostgres>;
}
mod scan;
pub(crate) mod server;
mod standby;
mod together;
