//! First step: reads the PoolerCluster afresh, everything it refers to, and everything that
//! exists for it. It writes nothing and judges nothing.

use std::{collections::BTreeMap, fmt::Debug};

use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::{
    NamespaceResourceScope,
    api::core::v1::{ConfigMap, Pod, Secret},
    apimachinery::pkg::apis::meta::v1::Condition,
    jiff::Timestamp,
};
use kube::{Api, Client, Resource, ResourceExt, api::ListParams, runtime::reflector::ObjectRef};
use poolwright_crds::{Database, PoolerCluster};
use serde::de::DeserializeOwned;

use crate::{
    census::{Census, Count, Subject},
    conflict,
    live::Live,
    names,
    references::{Kind, names_of},
    rights::Denied,
};

/// Requests for referenced objects at once.
const PARALLEL: usize = 8;

/// A PoolerCluster and all that its reconcile reads. A name without an object has `None`.
pub struct Dereferenced {
    pub cluster: PoolerCluster,
    pub read_at: Timestamp,
    /// What another install has said of it, taken out of its status.
    pub conflict: Option<Condition>,
    pub secrets: BTreeMap<String, Option<Secret>>,
    pub config_maps: BTreeMap<String, Option<ConfigMap>>,
    /// Tenants that are objects, by database.
    pub counts: BTreeMap<String, Count>,
    pub live: Live,
}

#[derive(Debug, thiserror::Error)]
#[error("read {kind} {name}: {source}")]
pub struct Error {
    kind: String,
    name: String,
    source: Box<kube::Error>,
    /// The PoolerCluster, where it was what it refers to that could not be read.
    pub cluster: Option<Box<PoolerCluster>>,
}

impl Error {
    pub fn denied(&self) -> Option<Denied> {
        Denied::of(&self.source)
    }
}

/// Reads all; `None` if the PoolerCluster is gone or going.
///
/// # Errors
/// If the API server does not answer or refuses; worth a retry.
pub async fn dereference(
    client: &Client,
    census: &Census,
    namespace: &str,
    name: &str,
) -> Result<Option<Dereferenced>, Error> {
    let read = Reader { client, namespace };
    let found: Option<PoolerCluster> = read.one(name).await?;
    let Some(mut cluster) = found.filter(|it| it.metadata.deletion_timestamp.is_none()) else {
        return Ok(None);
    };
    let counts = counts(census, &cluster).await;
    let others = futures::try_join!(
        read.each(names_of(&cluster.spec, Kind::Secret)),
        read.each(names_of(&cluster.spec, Kind::ConfigMap)),
        read.live(name),
    );
    let conflict = conflict::take(&mut cluster);
    match others {
        Ok((secrets, config_maps, live)) => {
            let read_at = Timestamp::now();
            Ok(Some(Dereferenced {
                cluster,
                read_at,
                conflict,
                secrets,
                config_maps,
                counts,
                live,
            }))
        }
        Err(error) => Err(Error { cluster: Some(Box::new(cluster)), ..error }),
    }
}

async fn counts(census: &Census, cluster: &PoolerCluster) -> BTreeMap<String, Count> {
    let namespace = cluster.namespace().unwrap_or_default();
    let selector = |it: &Database| {
        let selector = it.tenants.selector.as_ref()?;
        Some((it.name.clone(), Subject::of(selector, &namespace)))
    };
    let subjects = cluster.spec.databases.iter().filter_map(selector);
    let (names, subjects): (Vec<_>, Vec<_>) = subjects.unzip();
    let counts = census.count(&ObjectRef::from_obj(cluster), &subjects).await;
    names.into_iter().zip(counts).collect()
}

struct Reader<'a> {
    client: &'a Client,
    namespace: &'a str,
}

impl Reader<'_> {
    fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), self.namespace)
    }

    async fn one<K>(&self, name: &str) -> Result<Option<K>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        self.api::<K>().get_opt(name).await.map_err(|source| failed::<K>(name, source))
    }

    async fn each<K>(&self, mut names: Vec<&str>) -> Result<BTreeMap<String, Option<K>>, Error>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        names.sort_unstable();
        names.dedup();
        let names: Vec<_> = names.into_iter().map(str::to_owned).collect();
        let read = async |name: String| Ok((name.clone(), self.one(&name).await?));
        stream::iter(names).map(read).buffer_unordered(PARALLEL).try_collect().await
    }

    /// The ledger is read before all that it is changed by. The StatefulSet is read before the pods:
    /// once it has caught up, its controller makes no pod that this list could miss.
    async fn live(&self, name: &str) -> Result<Live, Error> {
        let objects = Live {
            ledger: self.one(&names::ledger(name)).await?,
            service_account: self.one(&names::service_account(name)).await?,
            settings: self.one(&names::settings(name)).await?,
            credentials: self.one(&names::credentials(name)).await?,
            authority: self.one(&names::authority(name)).await?,
            control: self.one(&names::control(name)).await?,
            client_service: self.one(name).await?,
            headless_service: self.one(&names::headless_service(name)).await?,
            disruption_budget: self.one(name).await?,
            network_policy: self.one(&names::network_policy(name)).await?,
            stateful_set: self.one(name).await?,
            pods: Vec::new(),
        };
        let ours = ListParams::default().labels(&names::selector_text(name));
        let pods = self.api().list(&ours).await.map_err(|source| failed::<Pod>(name, source));
        Ok(Live { pods: pods?.items, ..objects })
    }
}

fn failed<K: Resource<DynamicType = ()>>(name: &str, source: kube::Error) -> Error {
    let (kind, name) = (K::kind(&()).into_owned(), name.to_owned());
    Error { kind, name, source: Box::new(source), cluster: None }
}
