//! What the operator may not do, read from the API server's refusals, and the rule that would let
//! it. It asks nobody.

use std::fmt;

use serde::{Deserialize, Serialize};

/// As in a Role.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub api_groups: Vec<String>,
    pub resources: Vec<String>,
    /// None: whatever their names.
    #[serde(default)]
    pub resource_names: Vec<String>,
    pub verbs: Vec<String>,
}

impl Rule {
    pub fn new(group: &str, resource: &str, verbs: &[&str]) -> Rule {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let (api_groups, resources) = (vec![group.to_owned()], vec![resource.to_owned()]);
        Rule { api_groups, resources, resource_names: Vec::new(), verbs }
    }
}

/// In one line, ready to be pasted below `rules:`.
impl fmt::Display for Rule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |words: &[String]| {
            let quoted = |word: &String| if word.is_empty() { "\"\"".into() } else { word.clone() };
            words.iter().map(quoted).collect::<Vec<_>>().join(", ")
        };
        let Rule { api_groups, resources, resource_names, verbs } = self;
        let [groups, resources, verbs] = [list(api_groups), list(resources), list(verbs)];
        write!(out, "- {{apiGroups: [{groups}], resources: [{resources}], ")?;
        if !resource_names.is_empty() {
            write!(out, "resourceNames: [{}], ", list(resource_names))?;
        }
        write!(out, "verbs: [{verbs}]}}")
    }
}

/// One thing that the operator may not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub verb: String,
    pub group: String,
    /// With its subresource, if it is about one: `poolerclusters/status`.
    pub resource: String,
    /// None: in the whole cluster.
    pub namespace: Option<String>,
}

impl Denied {
    /// What was denied for want of a right. An error that says anything else, such as a quota that
    /// is used up, is none.
    pub fn of(error: &kube::Error) -> Option<Denied> {
        match error {
            kube::Error::Api(status) if status.code == 403 => Denied::read(&status.message),
            _ => None,
        }
    }

    /// The API server writes: `cannot VERB resource "R" in API group "G" in the namespace "N"`.
    fn read(message: &str) -> Option<Denied> {
        let (verb, rest) = message.split_once(" cannot ")?.1.split_once(" resource \"")?;
        let (resource, rest) = rest.split_once("\" in API group \"")?;
        let (group, rest) = rest.split_once('"')?;
        let namespace = rest.strip_prefix(" in the namespace \"");
        let namespace =
            namespace.and_then(|it| it.split_once('"')).map(|(name, _)| name.to_owned());
        let (verb, group) = (verb.to_owned(), group.to_owned());
        Some(Denied { verb, group, resource: resource.to_owned(), namespace })
    }

    /// What is denied, and the rule that would allow it.
    pub fn advice(&self) -> String {
        format!("{self}; add this rule to its Role or ClusterRole: {}", self.rule())
    }

    /// The rule that is missing: as the operator is shipped with it, or for this verb alone.
    fn rule(&self) -> Rule {
        let Denied { verb, group, resource, namespace: _ } = self;
        let ours = shipped().into_iter().find(|rule| {
            let Rule { api_groups, resources, verbs, .. } = rule;
            api_groups.contains(group) && resources.contains(resource) && verbs.contains(verb)
        });
        let alone = Rule::new(group, resource, &[verb]);
        ours.map_or(alone.clone(), |Rule { resource_names, verbs, .. }| Rule {
            resource_names,
            verbs,
            ..alone
        })
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Denied { verb, group, resource, namespace } = self;
        write!(out, "the operator may not {verb} {resource}")?;
        if !group.is_empty() {
            write!(out, " of the API group {group}")?;
        }
        match namespace {
            Some(namespace) => write!(out, " in the namespace {namespace}"),
            None => write!(out, " in the whole cluster"),
        }
    }
}

/// The rules that the chart gives the operator.
fn shipped() -> Vec<Rule> {
    #[derive(Deserialize)]
    struct Rules {
        rules: Vec<Rule>,
    }
    let rules = serde_yaml::from_str::<Rules>(include_str!("../rbac.yaml"));
    rules.map(|it| it.rules).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn refusal(message: &str) -> kube::Error {
        kube::Error::Api(Status::failure(message, "Forbidden").with_code(403).boxed())
    }

    #[track_caller]
    fn check(message: &str, says: &str, rule: &str) {
        let denied = Denied::of(&refusal(message)).unwrap();
        assert_eq!((denied.to_string().as_str(), denied.rule().to_string().as_str()), (says, rule));
    }

    #[test]
    fn a_refusal_names_the_rule_as_it_is_shipped() {
        let who = "User \"system:serviceaccount:poolwright:poolwright\"";
        check(
            &format!(
                "secrets \"users\" is forbidden: {who} cannot get resource \"secrets\" in API \
                 group \"\" in the namespace \"apps\""
            ),
            "the operator may not get secrets in the namespace apps",
            "- {apiGroups: [\"\"], resources: [secrets], verbs: [get, list, watch, create, patch]}",
        );
        check(
            &format!(
                "poolerclusters.poolwright.dev \"a\" is forbidden: {who} cannot patch resource \
                 \"poolerclusters/status\" in API group \"poolwright.dev\" in the namespace \"apps\""
            ),
            "the operator may not patch poolerclusters/status of the API group poolwright.dev in \
             the namespace apps",
            "- {apiGroups: [poolwright.dev], resources: [poolerclusters/status], verbs: [patch]}",
        );
        check(
            &format!(
                "workspaces.example.com is forbidden: {who} cannot list resource \"workspaces\" in \
                 API group \"example.com\" at the cluster scope"
            ),
            "the operator may not list workspaces of the API group example.com in the whole cluster",
            "- {apiGroups: [example.com], resources: [workspaces], verbs: [list]}",
        );
        check(
            &format!(
                "leases.coordination.k8s.io \"poolwright-claim\" is forbidden: {who} cannot get \
                 resource \"leases\" in API group \"coordination.k8s.io\" in the namespace \"apps\""
            ),
            "the operator may not get leases of the API group coordination.k8s.io in the namespace \
             apps",
            "- {apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: \
             [poolwright-claim], verbs: [get, list, watch]}",
        );
    }

    #[test]
    fn a_refusal_for_another_reason_is_no_missing_right() {
        let quota = "pods \"a-0\" is forbidden: exceeded quota: compute, requested: pods=1";
        assert_eq!(Denied::of(&refusal(quota)), None);
        let gone = kube::Error::Api(Status::failure("gone", "NotFound").with_code(404).boxed());
        assert_eq!(Denied::of(&gone), None);
    }

    #[test]
    fn the_shipped_rules_can_be_read() {
        assert!(shipped().len() >= 7);
    }
}
