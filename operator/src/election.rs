//! Who of several operators acts: the one that holds the Lease. The others stand by, with their
//! process started and their image pulled. It knows nothing of what the leader does.

use std::time::Duration;

use k8s_openapi::{api::coordination::v1::Lease, jiff::Timestamp};
use kube::{Api, Client, Config};
use kube_lease_manager::{LeaseManager, LeaseManagerBuilder, LeaseManagerError};
use tokio::{sync::watch, task::JoinHandle, time::sleep};

const LEASE: &str = "poolwright-operator";
/// A leader that has not renewed the Lease for so long is replaced, in seconds.
const DURATION: u64 = 15;
/// It renews it so long before, in seconds; clocks may be apart by as much.
const GRACE: u64 = 5;
/// The longest that a request for the Lease may take.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two looks of a leader at its Lease.
const LOOK_EVERY: Duration = Duration::from_secs(2);

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
    identity: String,
    leases: Api<Lease>,
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
        (config.connect_timeout, config.read_timeout) = (Some(PATIENCE), Some(PATIENCE));
        config.write_timeout = Some(PATIENCE);
        let client = Client::try_from(config)?;
        let leases = Api::namespaced(client.clone(), &namespace);
        let manager = LeaseManagerBuilder::new(client, LEASE)
            .with_namespace(namespace)
            .with_identity(identity)
            .with_duration(DURATION)
            .with_grace(GRACE)
            .build()
            .await?;
        let (leads, task) = manager.watch().await;
        Ok(Candidate { identity: identity.to_owned(), leases, leads, task })
    }

    /// Waits until this process leads.
    ///
    /// # Errors
    /// [`Error::Ended`]: it never will.
    pub async fn elected(&mut self) -> Result<(), Error> {
        self.leads.wait_for(|leads| *leads).await.map(drop).map_err(|_| Error::Ended)
    }

    /// Waits until it leads no longer: another does, or it could not renew the Lease in time, so
    /// that another may.
    pub async fn replaced(&mut self) {
        let Candidate { identity, leases, leads, .. } = self;
        tokio::select! {
            _ = leads.wait_for(|leads| !*leads) => {}
            () = expired(leases, identity) => {}
        }
    }

    /// Lets another lead at once.
    pub async fn resign(self) {
        drop(self.leads);
        if let Ok(Err(error)) = self.task.await {
            tracing::warn!(%error, "the Lease was not released: another leads in {DURATION} s");
        }
    }
}

/// Until the Lease, as far as it can be read, is not this holder's any more.
async fn expired(leases: &Api<Lease>, identity: &str) {
    let mut until = Timestamp::now() + Duration::from_secs(DURATION);
    loop {
        match leases.get_opt(LEASE).await {
            Ok(lease) => match lease.and_then(|lease| held_until(&lease, identity)) {
                Some(renewed) => until = renewed,
                None => return,
            },
            Err(error) => tracing::warn!(%error, "the Lease cannot be read"),
        }
        if Timestamp::now() >= until {
            return;
        }
        sleep(LOOK_EVERY).await;
    }
}

/// `None`: somebody else's, or nobody's.
fn held_until(lease: &Lease, identity: &str) -> Option<Timestamp> {
    let spec = lease.spec.as_ref()?;
    let ours = spec.holder_identity.as_deref() == Some(identity);
    let renewed = spec.renew_time.as_ref().filter(|_| ours)?;
    Some(renewed.0 + Duration::from_secs(DURATION))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::{
        api::coordination::v1::LeaseSpec, apimachinery::pkg::apis::meta::v1::MicroTime,
    };

    use super::*;
    use crate::testing;

    #[test]
    fn a_lease_is_held_for_a_while_after_its_renewal_by_whom_it_names() {
        let lease = |holder: Option<&str>, renewed: bool| Lease {
            spec: Some(LeaseSpec {
                holder_identity: holder.map(str::to_owned),
                renew_time: renewed.then(|| MicroTime(testing::now())),
                ..LeaseSpec::default()
            }),
            ..Lease::default()
        };
        let until = testing::now() + Duration::from_secs(DURATION);
        assert_eq!(held_until(&lease(Some("me"), true), "me"), Some(until));
        assert_eq!(held_until(&lease(Some("you"), true), "me"), None);
        assert_eq!(held_until(&lease(Some("me"), false), "me"), None);
        assert_eq!(held_until(&lease(None, true), "me"), None);
    }
}
