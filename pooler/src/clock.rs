//! Sleeps and limits of time, for every thread. A worker's runtime keeps no time of its own, since it
//! would look at its timers, and have the kernel set one, whenever it waits for the next bytes: the
//! main thread's runtime keeps it for all workers (decision 28).
#![expect(clippy::disallowed_methods, reason = "what the others are to call instead is here")]

use std::cell::OnceCell;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{self, Instant, Sleep, Timeout};

thread_local! {
    static KEEPER: OnceCell<Handle> = const { OnceCell::new() };
}

/// This thread's time is kept by another runtime, which must be running as long as this thread
/// waits for any time to pass.
pub fn kept_by(runtime: Handle) {
    KEEPER.with(|keeper| keeper.set(runtime).expect("one keeper for each thread"));
}

/// In the context of the runtime that keeps this thread's time.
fn with_keeper<T>(make: impl FnOnce() -> T) -> T {
    KEEPER.with(|keeper| {
        let _entered = keeper.get().map(Handle::enter);
        make()
    })
}

/// As [`time::sleep`].
pub fn sleep(duration: Duration) -> Sleep {
    with_keeper(|| time::sleep(duration))
}

/// As [`time::sleep_until`].
pub fn sleep_until(deadline: Instant) -> Sleep {
    with_keeper(|| time::sleep_until(deadline))
}

/// As [`time::timeout`].
pub fn timeout<F: IntoFuture>(duration: Duration, future: F) -> Timeout<F::IntoFuture> {
    with_keeper(|| time::timeout(duration, future))
}

/// As [`time::timeout_at`].
pub fn timeout_at<F: IntoFuture>(deadline: Instant, future: F) -> Timeout<F::IntoFuture> {
    with_keeper(|| time::timeout_at(deadline, future))
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::thread;

    use tokio::runtime::Builder;
    use tokio::sync::oneshot;

    use super::*;

    /// In a thread whose runtime keeps no time, and whose time the caller's runtime keeps.
    async fn elsewhere<T: Send + 'static>(work: impl AsyncFnOnce() -> T + Send + 'static) -> T {
        let (done, result) = oneshot::channel();
        let keeper = Handle::current();
        let thread = thread::spawn(move || {
            kept_by(keeper);
            let runtime = Builder::new_current_thread().enable_io().build().unwrap();
            let _ = done.send(runtime.block_on(work()));
        });
        let result = result.await.unwrap();
        thread.join().unwrap();
        result
    }

    #[tokio::test]
    async fn another_runtime_wakes_who_sleeps_where_none_keeps_time() {
        let span = Duration::from_millis(20);
        let slept = elsewhere(async move || {
            let began = Instant::now();
            sleep(span).await;
            sleep_until(began + 2 * span).await;
            began.elapsed()
        });
        assert!(slept.await >= 2 * span);
    }

    #[tokio::test]
    async fn a_limit_ends_what_takes_longer() {
        let span = Duration::from_millis(1);
        let outcomes = elsewhere(async move || {
            let late = timeout(span, pending::<()>()).await.is_err();
            let by_deadline = timeout_at(Instant::now() + span, pending::<()>()).await.is_err();
            (late, by_deadline, timeout(Duration::MAX, async { 7 }).await)
        });
        assert_eq!(outcomes.await, (true, true, Ok(7)));
    }
}
