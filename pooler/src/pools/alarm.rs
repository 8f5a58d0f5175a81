//! Tells whether anything has happened to a resting connection, so that a client which takes one
//! need not look at it. It is raised by the runtime, before any task of the same turn runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

/// What resting connections wake: it remembers that they did, and wakes the watcher.
pub(super) struct Alarm {
    raised: AtomicBool,
    watcher: Mutex<Waker>,
}

impl Alarm {
    pub(super) fn new() -> Arc<Alarm> {
        let watcher = Mutex::new(Waker::noop().clone());
        Arc::new(Alarm { raised: AtomicBool::new(false), watcher })
    }

    /// Nothing has happened since the watcher looked last.
    pub(super) fn is_silent(&self) -> bool {
        !self.raised.load(Ordering::Acquire)
    }

    /// The watcher is about to look at all connections.
    pub(super) fn reset(&self, watcher: &Waker) {
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).clone_from(watcher);
        self.raised.store(false, Ordering::Release);
    }
}

impl Wake for Alarm {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.raised.store(true, Ordering::Release);
        self.watcher.lock().unwrap_or_else(PoisonError::into_inner).wake_by_ref();
    }
}
