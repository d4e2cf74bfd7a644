//! The output on a platform without sockets: Devo's HTTP ingestion.
//!
//! Events are gathered, and posted line by line to `/stream/<domain>/token!<token>/<host>/<table>`. An answer
//! of 200 confirms them: it means received. Devo dates such events by their arrival; the time of the incident
//! is in the event itself. Dead letters go to the log, in full: there is no file, and a platform keeps its
//! log.
//!
//! Settings: `devo_url` (such as `https://http-us.devo.io`), `devo_domain`, `devo_token` and, if wanted,
//! `devo_host`.

#[cfg(target_arch = "wasm32")]
mod component;

#[cfg_attr(not(any(test, target_arch = "wasm32")), expect(dead_code, reason = "for the component alone"))]
mod destination;
