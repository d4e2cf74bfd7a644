//! The benchmark: one hundred thousand alerts carried from a simulated source to a simulated receiver, by the
//! collector, by its peers, by its own logic without a sandbox, and by a program that only moves the bytes.
//! What arrived is compared with the source after every run, and a run that loses or doubles an event does
//! not count.
//!
//! [`scene`] is what stands around a run, [`subject`] who runs, [`run`] one run and what it cost, [`figures`]
//! many runs, and [`plot`] their picture. [`native`] is the platform on which the component's logic runs
//! without a sandbox. [`history`] makes as many alerts as one likes, [`quiet`] is a cycle without news, and
//! [`pieces`] are the hot parts of the work one by one.

pub mod arguments;
pub mod figures;
pub mod history;
pub mod native;
pub mod pieces;
pub mod plot;
pub mod quiet;
pub mod run;
pub mod scene;
pub mod subject;
