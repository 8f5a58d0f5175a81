//! What exists in the cluster now for one PoolerCluster, and whose it is. It holds copies of
//! objects and never asks for more.

use k8s_openapi::{
    api::{
        apps::v1::StatefulSet,
        core::v1::{ConfigMap, Pod, Secret, Service, ServiceAccount},
        networking::v1::NetworkPolicy,
        policy::v1::PodDisruptionBudget,
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::{Resource, ResourceExt};
use poolwright_crds::PoolerCluster;

use crate::{names, pods};

/// The objects that stand where the PoolerCluster's own would, and its pods.
#[derive(Clone, Debug, Default)]
pub struct Live {
    pub service_account: Option<ServiceAccount>,
    pub settings: Option<ConfigMap>,
    pub credentials: Option<Secret>,
    pub authority: Option<Secret>,
    pub control: Option<Secret>,
    pub client_service: Option<Service>,
    pub headless_service: Option<Service>,
    pub disruption_budget: Option<PodDisruptionBudget>,
    pub network_policy: Option<NetworkPolicy>,
    pub stateful_set: Option<StatefulSet>,
    /// Nobody's: it outlives the PoolerCluster.
    pub ledger: Option<ConfigMap>,
    pub pods: Vec<Pod>,
}

/// Why nothing may be written yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// A deleted PoolerCluster of this name is not gone yet; it ends by itself.
    Former(String),
    /// Somebody else's object has a name that is needed; a person must act.
    Foreign(String),
}

impl Live {
    /// What stands in the way of the PoolerCluster with this uid.
    pub fn obstacle(&self, uid: &str) -> Option<Obstacle> {
        let objects = self.objects();
        let foreign = objects.into_iter().filter_map(|(kind, object)| not_ours(kind, object, uid));
        foreign.chain(self.foreign_ledger()).chain(self.former_pod()).next()
    }

    fn objects(&self) -> Vec<(&'static str, &ObjectMeta)> {
        let Live {
            service_account,
            settings,
            credentials,
            authority,
            control,
            client_service,
            headless_service,
            disruption_budget,
            network_policy,
            stateful_set,
            ledger: _,
            pods: _,
        } = self;
        let all = [
            ("StatefulSet", stateful_set.as_ref().map(|it| &it.metadata)),
            ("Service", client_service.as_ref().map(|it| &it.metadata)),
            ("Service", headless_service.as_ref().map(|it| &it.metadata)),
            ("ConfigMap", settings.as_ref().map(|it| &it.metadata)),
            ("Secret", credentials.as_ref().map(|it| &it.metadata)),
            ("Secret", authority.as_ref().map(|it| &it.metadata)),
            ("Secret", control.as_ref().map(|it| &it.metadata)),
            ("ServiceAccount", service_account.as_ref().map(|it| &it.metadata)),
            ("PodDisruptionBudget", disruption_budget.as_ref().map(|it| &it.metadata)),
            ("NetworkPolicy", network_policy.as_ref().map(|it| &it.metadata)),
        ];
        all.into_iter().filter_map(|(kind, meta)| meta.map(|meta| (kind, meta))).collect()
    }

    fn foreign_ledger(&self) -> Option<Obstacle> {
        let ledger = self.ledger.as_ref()?;
        let manager = ledger.labels().get(names::MANAGED_BY);
        let is_ours = manager.is_some_and(|it| it == names::MANAGER);
        (!is_ours).then(|| foreign("ConfigMap", &ledger.name_any()))
    }

    /// A pod that no StatefulSet of ours made may hold connections that nobody counts.
    fn former_pod(&self) -> Option<Obstacle> {
        let ours = self.stateful_set.as_ref().and_then(ResourceExt::uid);
        let former = self.pods.iter().find(|pod| pods::stateful_set(pod) != ours.as_deref())?;
        if former.owner_references().is_empty() && former.metadata.deletion_timestamp.is_none() {
            return Some(Obstacle::Foreign(format!(
                "pod {} has the labels of this PoolerCluster's pods and belongs to nobody, so it \
                 may hold connections for good: delete it",
                former.name_any()
            )));
        }
        Some(Obstacle::Former(format!(
            "pod {} was made for an earlier PoolerCluster of this name and may hold connections: \
             waiting until it has ended",
            former.name_any()
        )))
    }
}

fn not_ours(kind: &str, object: &ObjectMeta, uid: &str) -> Option<Obstacle> {
    let name = object.name.as_deref().unwrap_or_default();
    let mut owners = object.owner_references.iter().flatten();
    if object.deletion_timestamp.is_some() {
        return Some(Obstacle::Former(format!("{kind} {name} is being deleted: waiting")));
    }
    if owners.clone().any(|owner| owner.uid == uid) {
        return None;
    }
    if owners.any(|owner| owner.kind == PoolerCluster::kind(&())) {
        return Some(Obstacle::Former(format!(
            "{kind} {name} belongs to an earlier PoolerCluster of this name: waiting until it is \
             deleted"
        )));
    }
    Some(foreign(kind, name))
}

fn foreign(kind: &str, name: &str) -> Obstacle {
    Obstacle::Foreign(format!(
        "{kind} {name} exists and is not this PoolerCluster's: delete it, or name the \
         PoolerCluster differently"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{OwnerReference, Time};

    fn service(owner: Option<(&str, &str)>) -> Live {
        let owner = owner.map(|(kind, uid)| OwnerReference {
            kind: kind.into(),
            uid: uid.into(),
            ..OwnerReference::default()
        });
        let metadata = ObjectMeta {
            name: Some("workspaces".into()),
            owner_references: Some(owner.into_iter().collect()),
            ..ObjectMeta::default()
        };
        let service = Service { metadata, ..Service::default() };
        Live { client_service: Some(service), ..Live::default() }
    }

    #[test]
    fn nothing_stands_in_the_way_of_ones_own_objects() {
        assert_eq!(Live::default().obstacle("u1"), None);
        assert_eq!(service(Some(("PoolerCluster", "u1"))).obstacle("u1"), None);
        assert_eq!(testing::live(&[("workspaces-0", "hash", true)]).obstacle("u1"), None);
    }

    #[test]
    fn an_object_of_somebody_else_is_never_taken_over() {
        for owner in [None, Some(("Deployment", "u9"))] {
            let found = service(owner).obstacle("u1");
            assert!(matches!(found, Some(Obstacle::Foreign(_))), "{found:?}");
        }
    }

    #[test]
    fn what_an_earlier_object_of_the_name_left_is_waited_for() {
        let mut ending = service(Some(("PoolerCluster", "u1")));
        let service = service(Some(("PoolerCluster", "u0")));
        assert!(matches!(service.obstacle("u1"), Some(Obstacle::Former(_))));
        let metadata = &mut ending.client_service.as_mut().unwrap().metadata;
        metadata.deletion_timestamp = Some(Time(testing::now()));
        assert!(matches!(ending.obstacle("u1"), Some(Obstacle::Former(_))));
    }

    #[test]
    fn a_pod_of_an_earlier_stateful_set_is_waited_for() {
        let mut live = testing::live(&[("workspaces-0", "hash", true)]);
        live.stateful_set = None;
        assert!(matches!(live.obstacle("u1"), Some(Obstacle::Former(_))));
    }

    #[test]
    fn a_pod_of_nobody_is_to_be_deleted_by_whoever_made_it() {
        let mut live = testing::live(&[("workspaces-0", "hash", true)]);
        live.pods[0].metadata.owner_references = None;
        assert!(matches!(live.obstacle("u1"), Some(Obstacle::Foreign(_))));
        live.pods[0].metadata.deletion_timestamp = Some(Time(testing::now()));
        assert!(matches!(live.obstacle("u1"), Some(Obstacle::Former(_))));
    }
}
