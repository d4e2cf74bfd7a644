//! The redis servers of the operator's that tenants may keep their state in.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::schema;

/// The port of a redis server.
pub const REDIS_PORT: u16 = 6379;

/// A redis server that the operator has for tenants.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[schemars(inline, deny_unknown_fields, transform = schema::ordered::<Self>)]
pub struct RedisServer {
    /// Its name or address, as tenants name it. It may be at a private address.
    host: String,
    /// Its port.
    #[serde(default = "redis_port")]
    port: u16,
    /// The databases of it that they may name.
    #[serde(default = "first_database")]
    dbs: Vec<u32>,
}

fn redis_port() -> u16 {
    REDIS_PORT
}

fn first_database() -> Vec<u32> {
    vec![0]
}

impl RedisServer {
    /// Whether this is the server that is asked for.
    pub(super) fn is_at(&self, host: &str, port: u16) -> bool {
        self.port == port && same(&self.host, host)
    }

    /// Whether tenants may name this database of it.
    pub(super) fn has(&self, db: i64) -> bool {
        u32::try_from(db).is_ok_and(|db| self.dbs.contains(&db))
    }
}

/// Whether two names are the same for DNS, or two addresses lead to the same place.
fn same(one: &str, other: &str) -> bool {
    let address = |text: &str| text.parse().ok().map(|address: IpAddr| address.to_canonical());
    let name = |text: &str| text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    match (address(one), address(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => name(one) == name(other),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_by_any_way_to_write_its_name_and_by_no_other_name() {
        let server = |host: &str| RedisServer { host: host.to_owned(), port: REDIS_PORT, dbs: first_database() };
        for (host, same) in
            [("redis.internal", "Redis.Internal."), ("10.0.0.1", "::ffff:10.0.0.1"), ("fd00::1", "fd00:0::1")]
        {
            assert!(server(host).is_at(same, REDIS_PORT) && server(host).has(0), "{host}");
            assert!(!server(host).is_at(same, 6380) && !server(host).has(1), "{host}");
        }
        for (host, other) in
            [("redis.internal", "x.redis.internal"), ("redis.internal", "10.0.0.1"), ("10.0.0.1", "10.0.0.2")]
        {
            assert!(!server(host).is_at(other, REDIS_PORT), "{host} {other}");
        }
    }
}
