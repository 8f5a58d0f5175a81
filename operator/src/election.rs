//! Who of several operators acts: the one that holds the Lease. The others stand by, with their
//! process started and their image pulled. It knows nothing of what the leader does.

use kube::{Client, Config};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::{sync::watch, task::JoinHandle};

const LEASE: &str = "poolwright-operator";
/// A leader that has not renewed the Lease for so long is replaced, in seconds.
const DURATION: u64 = 15;
/// It renews it so long before, in seconds; clocks may be apart by as much.
const GRACE: u64 = 5;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("make a client for the Lease: {0}")]
    Client(#[from] kube::Error),
    #[error("Lease {LEASE}: {0}")]
    Lease(#[from] LeaseManagerError),
    #[error("the election ended by itself")]
    Ended,
}

/// This process's part in the election.
pub struct Candidate {
    leads: watch::Receiver<bool>,
    task: JoinHandle<Result<LeaseManager, LeaseManagerError>>,
}

impl Candidate {
    /// Stands for election in the operator's own namespace, as `identity`. The client does not
    /// repeat requests by itself: a Lease that is renewed late is worth nothing.
    ///
    /// # Errors
    /// If the Lease cannot be read or made.
    pub async fn stand(mut config: Config, identity: &str) -> Result<Candidate, Error> {
        let namespace = config.default_namespace.clone();
        config.default_retry = false;
        let client = Client::try_from(config)?;
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .build()
            .await?;
        let (leads, task) = manager.watch().await;
        Ok(Candidate { leads, task })
    }

    /// Waits until this process leads.
    ///
    /// # Errors
    /// [`Error::Ended`]: it never will.
    pub async fn elected(&mut self) -> Result<(), Error> {
        self.leads.wait_for(|leads| *leads).await.map(drop).map_err(|_| Error::Ended)
    }

    /// Waits until it leads no longer.
    pub async fn replaced(&mut self) {
        let _ = self.leads.wait_for(|leads| !*leads).await;
    }

    /// Lets another lead at once.
    pub async fn resign(self) {
        drop(self.leads);
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(%error, "the Lease was not released: another leads in {DURATION} s");
        }
    }
}
