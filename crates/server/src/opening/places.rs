//! How many openings may be under way at once.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Places for those who open, in the order in which they come.
#[derive(Debug)]
pub(crate) struct Places {
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    max: usize,
    free: Arc<Semaphore>,
}

/// A place that is taken until this is dropped. `None` if there is no limit to them any more.
pub(crate) type Place = Option<OwnedSemaphorePermit>;

impl Places {
    pub(crate) fn new(max: usize) -> Self {
        Self { current: Mutex::new(Current::of(max)) }
    }

    /// Takes one of `max`; tells when it `waits` for one. When that is another number than it was,
    /// those who have a place or wait for one are not counted among the new ones.
    pub(crate) async fn take(&self, max: usize, waits: impl FnOnce()) -> Place {
        let free = {
            let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
            if current.max != max {
                *current = Current::of(max);
            }
            Arc::clone(&current.free)
        };
        if let Ok(place) = Arc::clone(&free).try_acquire_owned() {
            return Some(place);
        }
        waits();
        // It is never closed.
        free.acquire_owned().await.ok()
    }
}

impl Current {
    fn of(max: usize) -> Self {
        Self { max, free: Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS))) }
    }
}

#[cfg(test)]
mod tests {
    use tokio_test::{assert_pending, assert_ready, task::spawn};

    use super::*;

    #[tokio::test]
    async fn who_waits_gets_the_place_that_is_left_first_come_first_served() {
        let places = Places::new(1);
        let place = places.take(1, || ()).await;
        let mut waiting = [(); 2].map(|()| spawn(places.take(1, || ())));
        waiting.iter_mut().for_each(|wait| assert_pending!(wait.poll()));
        drop(place);
        let place = assert_ready!(waiting[0].poll());
        assert_pending!(waiting[1].poll());
        drop(place);
        assert_ready!(waiting[1].poll());
    }

    #[tokio::test]
    async fn another_number_of_places_counts_for_those_who_come() {
        let places = Places::new(1);
        let _before = places.take(1, || ()).await;
        let _after = [places.take(2, || ()).await, places.take(2, || ()).await];
        assert_pending!(spawn(places.take(2, || ())).poll());
    }
}
