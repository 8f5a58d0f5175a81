//! The StatefulSet: an ordinal never runs twice, and only the operator's plan replaces pods.

use k8s_openapi::{
    api::apps::v1::{StatefulSet, StatefulSetSpec, StatefulSetUpdateStrategy},
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};

use super::{Template, metadata};
use crate::{names, validate::Validated};

/// Old templates that are kept; nothing rolls back by them.
const REVISIONS: i32 = 3;

pub fn stateful_set(
    checked: &Validated,
    template: Template,
    replicas: u32,
    fence: u64,
) -> StatefulSet {
    let selector = LabelSelector {
        match_labels: Some(names::selector(&checked.name)),
        ..LabelSelector::default()
    };
    let made_from = serde_json::to_string(&template.made).unwrap_or_default();
    let spec = StatefulSetSpec {
        replicas: i32::try_from(replicas).ok(),
        service_name: Some(names::headless_service(&checked.name)),
        pod_management_policy: Some("Parallel".into()),
        update_strategy: Some(StatefulSetUpdateStrategy {
            type_: Some("OnDelete".into()),
            rolling_update: None,
        }),
        revision_history_limit: Some(REVISIONS),
        selector,
        template: template.spec,
        ..StatefulSetSpec::default()
    };
    let mut metadata = metadata::fenced(checked, checked.name.clone(), fence);
    metadata.annotations.get_or_insert_default().insert(names::MADE_FROM.to_owned(), made_from);
    metadata::hashed(StatefulSet { metadata, spec: Some(spec), ..StatefulSet::default() })
}
