//! How many instances of tenants' components may be under way at once. Each takes mappings and address space
//! of the process, of which there is less than memory: where either is used up, nobody's calls begin any
//! more.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use wasmtime::component::Component;

/// Mappings of the process where the system does not say how many there may be: what Linux has by default.
const USUAL_MAPPINGS: usize = 65_530;

/// Mappings of an instance, measured: a stack with its guard, and what the allocator maps for it now and
/// then.
const MAPPINGS: u32 = 3;

/// Mappings of each of its memories, measured: what it uses of its reservation, the rest, and what it begins
/// with.
const MAPPINGS_OF_A_MEMORY: u32 = 3;

/// With as many mappings, memories take three quarters of the 128 TiB of address space that a process has,
/// where each has a quarter of a gigabyte and 64 MiB around it.
const MOST: usize = 900_000;

/// Room for instances, in mappings.
pub(crate) struct Instances(Arc<Semaphore>);

/// The same for those of one component.
pub(crate) struct InstancesOf {
    all: Arc<Semaphore>,
    /// What one instance takes.
    mappings: u32,
}

/// The room of one instance.
pub(crate) type Room = OwnedSemaphorePermit;

impl Instances {
    /// Three quarters of what this machine lets a process have: code, stacks and the heap want some too.
    pub(crate) fn of_this_machine() -> Self {
        let limit = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        let limit = limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(USUAL_MAPPINGS);
        Self::of(limit)
    }

    fn of(mappings: usize) -> Self {
        Self(Arc::new(Semaphore::new((mappings / 4 * 3).min(MOST))))
    }

    /// Those of a component.
    pub(crate) fn of_component(&self, component: &Component) -> InstancesOf {
        let memories = component.resources_required().map_or(1, |resources| resources.num_memories);
        InstancesOf { all: self.0.clone(), mappings: MAPPINGS + MAPPINGS_OF_A_MEMORY * memories }
    }
}

impl InstancesOf {
    /// Waits until there is room for one more, which is taken until the permit is dropped. None would mean
    /// that there is nothing to wait for.
    pub(crate) async fn room(&self) -> Option<Room> {
        self.all.clone().acquire_many_owned(self.mappings).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::engine::RESERVATION_IN_BYTES;

    #[tokio::test]
    async fn an_instance_waits_until_there_is_room_and_one_with_more_memories_takes_more() {
        let engine = wasmtime::Engine::default();
        let instances = Instances::of(24);
        let component = |memories: usize| {
            let text = format!(
                "(component (core module $m {}) (core instance (instantiate $m)))",
                "(memory 1)".repeat(memories)
            );
            instances.of_component(&Component::new(&engine, wat::parse_str(text).unwrap()).unwrap())
        };
        let (small, large) = (component(1), component(4));
        let first = small.room().await.unwrap();
        let second = small.room().await.unwrap();
        let third = small.room().await.unwrap();
        let mut fourth = Box::pin(small.room());
        assert!((&mut fourth).now_or_never().is_none(), "18 mappings are three quarters of 24");
        drop(first);
        let fourth = fourth.await.unwrap();
        let mut with_more = Box::pin(large.room());
        drop((second, third));
        assert!((&mut with_more).now_or_never().is_none());
        drop(fourth);
        assert!(with_more.await.is_some());
    }

    #[test]
    fn there_is_room_for_thousands_and_never_for_more_than_the_address_space() {
        assert!(Instances::of_this_machine().0.available_permits() > 1_000 * 6);
        assert_eq!(Instances::of(65_530).0.available_permits(), 49_146);
        assert_eq!(Instances::of(10_000_000).0.available_permits(), MOST);
        // If all of them were memories.
        let memories = MOST as u64 / u64::from(MAPPINGS_OF_A_MEMORY);
        assert!(memories * (RESERVATION_IN_BYTES + (64 << 20)) < 128 << 40);
    }
}
