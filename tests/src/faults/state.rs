//! What was remembered fails: the state is damaged, or the server that keeps it is away.

use anyhow::{Result, ensure};

use super::{Scale, Trial, delivered, goes_on, settled};
use crate::check::Report;
use crate::redis::Redis;
use crate::stage::Stage;
use crate::{ALERTS_TABLE, PATIENCE};

pub(super) const TRIALS: &[Trial] = &[
    Trial {
        fault: "the state is cut off",
        injected: "its file cut to 0, 1, 10, 50, 90 and 99 percent and to all but a byte",
        happens: "PrePullError 203 names the file; nothing is sent, the service ends",
        run: |_| {
            let cuts = [(0, 100), (1, 100), (10, 100), (50, 100), (90, 100), (99, 100)];
            let cut = move |whole: &[u8], part: usize| match cuts.get(part) {
                Some((numerator, denominator)) => whole[..whole.len() * numerator / denominator].to_vec(),
                None => whole[..whole.len() - 1].to_vec(),
            };
            damaged(cuts.len() + 1, cut, "PrePullError [CODE:0203]")
        },
    },
    Trial {
        fault: "the state is garbage",
        injected: "a bit turned over, zeros of the same size, a web page",
        happens: "PrePullError 203 names the file; nothing is sent, the service ends",
        run: |_| {
            let garbage = |whole: &[u8], kind: usize| match kind {
                0 => {
                    let mut bytes = whole.to_vec();
                    bytes[whole.len() / 2] ^= 1;
                    bytes
                }
                1 => vec![0; whole.len()],
                _ => b"<html><body>Not found</body></html>\n".to_vec(),
            };
            damaged(3, garbage, "PrePullError [CODE:0203]")
        },
    },
    Trial {
        fault: "the redis server that keeps the state is killed",
        injected: "`kill -9` of a real redis-server, later started again",
        happens: "PullError 301 or 302; goes on from what redis has saved",
        run: redis_killed,
    },
];

/// Damages the state in several ways, one after the other: each stops the collector, and with the good state
/// back it goes on.
fn damaged(kinds: usize, damage: impl Fn(&[u8], usize) -> Vec<u8>, complaint: &str) -> Result<Report> {
    let mut stage = Stage::new("state", 300)?;
    delivered(&stage)?.stop(PATIENCE)?;
    let (name, good) = stage
        .installation
        .state_files()?
        .into_iter()
        .find(|(name, _)| name.ends_with(".state"))
        .ok_or_else(|| anyhow::anyhow!("there is no state"))?;
    let path = stage.installation.state().join(&name);
    stage.add_newer(20);
    for kind in 0..kinds {
        std::fs::write(&path, damage(&good, kind))?;
        let collector = stage.start()?;
        collector.wait_for_complaint(&[complaint, &name])?;
        ensure!(collector.wait_for_exit(PATIENCE)?.code() == Some(1), "it ended with another status");
        ensure!(stage.receiver.count(ALERTS_TABLE) == 300, "something was sent from a state that can't be trusted");
    }
    std::fs::write(&path, &good)?;
    let collector = stage.start()?;
    goes_on(&mut stage, &collector)
}

fn redis_killed(_: Scale) -> Result<Report> {
    let mut stage = Stage::new("redis-killed", 200)?;
    let folder = stage.folder.path().join("redis");
    let mut redis = Redis::start(&folder)?;
    redis.keeps_the_state_of(&stage)?;
    let collector = delivered(&stage)?;
    redis.kill()?;
    stage.add_newer(30);
    collector.wait_for_complaint(&["PullError [CODE:03", &format!("127.0.0.1:{}", redis.port())])?;
    redis.start_again(&folder)?;
    stage.wait_for_all(&collector)?;
    settled(&stage, &collector)
}
