//! What wakes a reconcile: the PoolerClusters, what they own, and what they refer to. It
//! decides nothing about a PoolerCluster itself.
//!
//! Owned and referenced objects are watched by their metadata only, so that no Secret's
//! content is held here; pods as a whole, since how they ended is in their status.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use k8s_openapi::{
    NamespaceResourceScope,
    api::{
        apps::v1::StatefulSet,
        coordination::v1::Lease,
        core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
};
use kube::{
    Api, Client, Resource,
    api::ListParams,
    core::PartialObjectMeta,
    runtime::{Controller, controller, reflector::Store, watcher},
};
use poolwright_crds::PoolerCluster;

use crate::{
    census::Woken,
    claim, names, reconcile,
    reconcile::Context,
    references::{Kind, of_namespace, of_object, of_pod},
    rights::Denied,
};

/// PoolerClusters that are worked on at once.
const CONCURRENCY: u16 = 8;
/// Changes this close together cause one reconcile.
const DEBOUNCE: Duration = Duration::from_millis(200);
/// Between two tries to list PoolerClusters at the start.
const RELIST: Duration = Duration::from_secs(2);
/// Between two looks for PoolerClusters that are gone and whose tenants are still counted.
const CLEANING: Duration = Duration::from_secs(30);

/// The namespaces that are served.
#[derive(Clone)]
pub enum Scope {
    All,
    One(String),
}

impl Scope {
    pub fn of(namespace: &str) -> Scope {
        if namespace.is_empty() { Scope::All } else { Scope::One(namespace.to_owned()) }
    }

    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        match self {
            Scope::All => Api::all(client.clone()),
            Scope::One(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }

    fn metadata<K>(&self, client: &Client) -> Api<PartialObjectMeta<K>>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        self.api(client)
    }
}

/// Reconciles until `told_to_end`, then finishes what is under way.
pub async fn run(
    scope: Scope,
    context: Arc<Context>,
    woken: Woken,
    told_to_end: impl Future<Output = ()> + Send + Sync + 'static,
) {
    let controller = watched(&scope, &context);
    let cleaning = clean(controller.store(), Arc::clone(&context));
    let serving = controller
        .reconcile_on(woken)
        .graceful_shutdown_on(told_to_end)
        .run(reconcile::reconcile, reconcile::retry_later, context)
        .for_each(|result| async {
            if let Err(controller::Error::QueueError(error)) = result {
                let advice = advice(&error);
                tracing::warn!(%error, advice, "a watch failed and starts again");
            }
        });
    tokio::select! {
        () = serving => (),
        () = cleaning => (),
    }
}

/// The rule that a watch lacks, if it is that.
fn advice(error: &watcher::Error) -> Option<String> {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    let (InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error)) = error else {
        return None;
    };
    Denied::of(error).map(|denied| denied.advice())
}

/// The end of a PoolerCluster wakes no reconcile, so what was held for it is found here.
async fn clean(living: Store<PoolerCluster>, context: Arc<Context>) {
    loop {
        tokio::time::sleep(CLEANING).await;
        let living = living.state();
        context.census.keep_only(&living);
        context.turns.keep_only(&living).await;
        context.backends.keep_only(&living);
    }
}

fn watched(scope: &Scope, context: &Context) -> Controller<PoolerCluster> {
    let (client, departures) = (&context.client, Arc::clone(&context.departures));
    let all = watcher::Config::default;
    let ours = || all().labels(&names::managed());
    let controller = Controller::new(scope.api(client), all())
        .with_config(controller::Config::default().concurrency(CONCURRENCY).debounce(DEBOUNCE));
    let (configs, secrets, claimed) = (controller.store(), controller.store(), controller.store());
    let controller = controller
        .owns(scope.metadata::<StatefulSet>(client), ours())
        .owns(scope.metadata::<Service>(client), ours())
        .owns(scope.metadata::<ServiceAccount>(client), ours())
        .owns(scope.metadata::<PodDisruptionBudget>(client), ours())
        .owns(scope.metadata::<NetworkPolicy>(client), ours())
        .watches(scope.api::<Pod>(client), ours(), move |pod| {
            departures.note(&pod);
            of_pod(&pod.metadata)
        })
        .watches(scope.metadata::<ConfigMap>(client), all(), move |object| {
            of_object(Kind::ConfigMap, &object.metadata, &configs.state())
        })
        .watches(scope.metadata::<Secret>(client), all(), move |object| {
            of_object(Kind::Secret, &object.metadata, &secrets.state())
        });
    match scope {
        Scope::One(_) => controller,
        Scope::All => {
            let claims = all().fields(&format!("metadata.name={}", claim::NAMESPACE_CLAIM));
            controller.watches(scope.metadata::<Lease>(client), claims, move |claim| {
                of_namespace(&claim.metadata, &claimed.state())
            })
        }
    }
}

/// Says that the operator is ready, leading or standing by, once PoolerClusters can be listed:
/// their definition is installed and the operator may read them. (The controller's own store is
/// not asked: it wakes only one of those that wait for it.)
pub async fn announce(scope: Scope, context: Arc<Context>) {
    let clusters: Api<PoolerCluster> = scope.api(&context.client);
    let one = ListParams::default().limit(1);
    while let Err(error) = clusters.list(&one).await {
        let advice = Denied::of(&error).map(|denied| denied.advice());
        tracing::warn!(%error, advice, "PoolerClusters cannot be listed yet");
        tokio::time::sleep(RELIST).await;
    }
    context.metrics.set_ready();
    tracing::info!("PoolerClusters can be listed");
}
