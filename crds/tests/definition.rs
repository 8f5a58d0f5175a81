//! The definition as the API server gets it: small, complete, and the same as the file.

use kube::CustomResourceExt;
use poolwright_crds::{PoolerCluster, yaml};

const LIMIT: usize = 64 * 1024;

#[test]
fn the_file_is_the_one_that_the_types_make() {
    let file = include_str!("../poolerclusters.yaml");
    assert_eq!(
        file,
        yaml::poolerclusters(),
        "run: cargo run -p poolwright-crds > crds/poolerclusters.yaml"
    );
}

#[test]
fn the_reference_page_is_the_one_that_the_types_make() {
    let page = include_str!("../../docs/poolercluster.md");
    assert_eq!(page, poolwright_crds::reference::markdown(), "run: make generate");
}

#[test]
fn the_definition_stays_small() {
    let size = yaml::poolerclusters().len();
    assert!(size < LIMIT, "{size} bytes");
}

#[test]
fn autoscalers_find_all_three_paths() {
    let crd = serde_json::to_value(PoolerCluster::crd()).unwrap();
    let scale = crd.pointer("/spec/versions/0/subresources/scale").unwrap();
    assert_eq!(
        scale,
        &serde_json::json!({
            "specReplicasPath": ".spec.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        })
    );
}

#[test]
fn every_list_and_string_of_the_spec_is_bounded() {
    let crd = serde_json::to_value(PoolerCluster::crd()).unwrap();
    let spec = crd.pointer("/spec/versions/0/schema/openAPIV3Schema/properties/spec").unwrap();
    let mut unbounded = Vec::new();
    walk(spec, "spec", &mut unbounded);
    assert_eq!(unbounded, Vec::<String>::new());
}

fn walk(schema: &serde_json::Value, path: &str, unbounded: &mut Vec<String>) {
    let bounded = |bound: &str| schema.get(bound).is_some() || schema.get("enum").is_some();
    let bound = match schema["type"].as_str() {
        Some("array") => bounded("maxItems"),
        Some("string") => bounded("maxLength"),
        Some("integer") => bounded("maximum"),
        _ => true,
    };
    if !bound {
        unbounded.push(path.to_owned());
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), unbounded);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), unbounded);
    }
}
