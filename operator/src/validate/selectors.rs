//! Tenants that are objects: whether the selector can select, and what to say when its objects
//! cannot be counted.

use poolwright_crds::{LabelSelector, Namespaces, Requirement, TenantSelector};
use poolwright_settings::Problem;

use super::{
    Unresolved,
    tenants::{MOST, problem},
};
use crate::{
    census::{Count, Uncounted},
    rights::Rule,
};

/// The most characters of a label's name and of its value.
const LONGEST: usize = 63;

pub fn counted(
    path: &str,
    selector: &TenantSelector,
    count: Option<&Count>,
) -> Result<u32, Unresolved> {
    if let Some(problem) = labels(&format!("{path}.labelSelector"), &selector.label_selector) {
        return Err(problem.into());
    }
    match count.unwrap_or(&Err(Uncounted::Pending)) {
        Ok(count) => u32::try_from(*count).ok().filter(|count| *count <= MOST).ok_or_else(|| {
            problem(path, &count.to_string(), "select fewer objects by their labels").into()
        }),
        Err(why) => Err(unresolved(path, selector, why)),
    }
}

/// What stands in the way: the kind, the namespaces, the operator's limits, or time.
fn unresolved(path: &str, selector: &TenantSelector, why: &Uncounted) -> Unresolved {
    let TenantSelector { kind, .. } = selector;
    let (reason, problem) = match why {
        Uncounted::NotServed => ("KindNotServed", not_served(path, selector)),
        Uncounted::Unwatchable => ("KindNotWatchable", unwatchable(path, selector)),
        Uncounted::InNoNamespace => ("NamespaceMismatch", in_no_namespace(path, kind)),
        Uncounted::NotAllowed => ("NamespacesNotAllowed", not_allowed(path)),
        Uncounted::Denied(rule) => ("RightMissing", denied(path, selector, rule)),
        Uncounted::TooManyKinds(most) => ("TooManyKinds", too_many_kinds(path, kind, *most)),
        Uncounted::Full(most) => ("TooManyWatches", full(path, kind, *most)),
        Uncounted::Pending => ("Counting", pending(path, kind)),
        Uncounted::Failed(error) => ("TenantsUnknown", failed(path, kind, error)),
    };
    Unresolved { reason, problem }
}

const COUNTABLE: &str = "a kind whose objects can be listed and watched";

fn not_served(path: &str, TenantSelector { api_version, kind, .. }: &TenantSelector) -> Problem {
    Problem::new(
        path,
        format!("no kind {kind} in {api_version} among what the API server serves"),
        COUNTABLE,
        "correct apiVersion and kind (kubectl api-resources shows them), or install its \
         CustomResourceDefinition, which is noticed within 30 s",
    )
}

fn unwatchable(path: &str, TenantSelector { api_version, kind, .. }: &TenantSelector) -> Problem {
    Problem::new(
        path,
        format!("kind {kind} in {api_version}, which the API server does not let anybody watch"),
        COUNTABLE,
        "choose another kind, or count its objects into a ConfigMap",
    )
}

fn in_no_namespace(path: &str, kind: &str) -> Problem {
    Problem::new(
        format!("{path}.namespaces"),
        format!("Own, and kind {kind} whose objects are in no namespace"),
        "All",
        "write All, if the operator may look there",
    )
}

fn not_allowed(path: &str) -> Problem {
    Problem::new(
        format!("{path}.namespaces"),
        "All",
        "Own, since the operator was installed to count in a PoolerCluster's own namespace only",
        "write Own, or install the operator with the chart's value tenantsInAllNamespaces: true",
    )
}

fn denied(path: &str, selector: &TenantSelector, rule: &Rule) -> Problem {
    let TenantSelector { kind, namespaces, .. } = selector;
    let place = match namespaces {
        Namespaces::Own => "in the namespace of the PoolerCluster",
        Namespaces::All => "in all namespaces",
    };
    let found = format!("kind {kind}, which the operator may not list and watch {place}");
    Problem::new(path, found, "the right to do so", remedy(rule))
}

fn too_many_kinds(path: &str, kind: &str, most: usize) -> Problem {
    Problem::new(
        path,
        format!("kind {kind} beside others"),
        format!("at most {most} kinds in one PoolerCluster"),
        "use labels of fewer kinds",
    )
}

fn full(path: &str, kind: &str, most: usize) -> Problem {
    Problem::new(
        path,
        format!("kind {kind} while the operator watches {most} places already"),
        "fewer kinds and namespaces",
        "count these into a ConfigMap",
    )
}

fn pending(path: &str, kind: &str) -> Problem {
    let found = format!("objects of kind {kind} that are still being listed");
    Problem::new(path, found, "their number", "wait")
}

fn failed(path: &str, kind: &str, error: &str) -> Problem {
    let found = format!("an answer of the API server that is no list of kind {kind}: {error}");
    Problem::new(path, found, "their number", "it is asked again")
}

/// The rule, and the value of the chart that renders it.
fn remedy(rule: &Rule) -> String {
    let [group, resource] = [&rule.api_groups, &rule.resources].map(|words| words.concat());
    let group = if group.is_empty() { "\"\"".to_owned() } else { group };
    format!(
        "add this rule to its Role or ClusterRole: {rule} or this to the chart's values: \
         tenantKinds: [{{apiGroup: {group}, resource: {resource}}}]"
    )
}

fn labels(path: &str, selector: &LabelSelector) -> Option<Problem> {
    let LabelSelector { match_labels, match_expressions } = selector;
    let equal = match_labels.iter().map(|(name, value)| {
        let path = format!("{path}.matchLabels[{name:?}]");
        label_name(&path, name).or_else(|| label_value(&path, value))
    });
    let others = match_expressions.iter().enumerate().map(|(index, it)| {
        let Requirement { key, operator: _, values } = it;
        let path = format!("{path}.matchExpressions[{index}]");
        label_name(&format!("{path}.key"), key)
            .or_else(|| values.iter().find_map(|it| label_value(&format!("{path}.values"), it)))
    });
    equal.chain(others).flatten().next()
}

fn label_name(path: &str, text: &str) -> Option<Problem> {
    let (prefix, name) = text.split_once('/').map_or((None, text), |(it, name)| (Some(it), name));
    let prefixed = prefix.is_none_or(|it| !it.is_empty() && it.len() <= 253 && is_word(it, ""));
    let expected = "the name of a label, of letters, digits, '-', '_' and '.'";
    (!prefixed || name.is_empty() || name.len() > LONGEST || !is_word(name, "_")).then(|| {
        Problem::new(
            path,
            format!("{text:?}"),
            expected,
            "write it like example.com/cloud or cloud",
        )
    })
}

fn label_value(path: &str, text: &str) -> Option<Problem> {
    let expected = "the value of a label, of at most 63 letters, digits, '-', '_' and '.'";
    (text.len() > LONGEST || !is_word(text, "_"))
        .then(|| Problem::new(path, format!("{text:?}"), expected, "write what objects can have"))
}

/// Whether it consists of letters, digits, `-`, `.` and what else is allowed, and neither begins
/// nor ends with one of the latter.
fn is_word(text: &str, else_allowed: &str) -> bool {
    let inside =
        |it: char| it.is_ascii_alphanumeric() || "-.".contains(it) || else_allowed.contains(it);
    let at_end = |it: Option<char>| it.is_none_or(|it| it.is_ascii_alphanumeric());
    text.chars().all(inside) && at_end(text.chars().next()) && at_end(text.chars().last())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    fn selector() -> TenantSelector {
        testing::selector(&[("cloud", "01")])
    }

    #[track_caller]
    fn check(count: Count, reason: &str, says: &[&str]) {
        let found = counted("spec.databases[0].tenants.selector", &selector(), Some(&count));
        let Unresolved { reason: given, problem } = found.unwrap_err();
        let text = problem.to_string();
        assert_eq!(given, reason);
        assert!(text.starts_with("spec.databases[0].tenants.selector"), "{text}");
        assert!(says.iter().all(|part| text.contains(part)), "expected {says:?} in {text}");
    }

    #[test]
    fn a_count_is_taken_as_it_is() {
        assert_eq!(counted("x", &selector(), Some(&Ok(0))).unwrap(), 0);
        assert_eq!(counted("x", &selector(), Some(&Ok(190))).unwrap(), 190);
        check(Ok(1_000_001), "TenantsUnknown", &["found 1000001", "select fewer objects"]);
    }

    #[test]
    fn a_missing_right_prints_the_rule_and_the_value_of_the_chart() {
        let rule = Rule::new("example.com", "workspaces", &["list", "watch"]);
        check(
            Err(Uncounted::Denied(rule)),
            "RightMissing",
            &[
                "kind Workspace, which the operator may not list and watch in the namespace",
                "- {apiGroups: [example.com], resources: [workspaces], verbs: [list, watch]}",
                "tenantKinds: [{apiGroup: example.com, resource: workspaces}]",
            ],
        );
        let core = Rule::new("", "pods", &["list"]);
        assert!(remedy(&core).contains("tenantKinds: [{apiGroup: \"\", resource: pods}]"));
    }

    #[test]
    fn each_other_obstacle_has_a_reason_and_says_what_to_do() {
        for (why, reason, says) in [
            (Uncounted::Pending, "Counting", "wait"),
            (Uncounted::NotServed, "KindNotServed", "no kind Workspace in example.com/v1"),
            (Uncounted::Unwatchable, "KindNotWatchable", "choose another kind"),
            (Uncounted::InNoNamespace, "NamespaceMismatch", "write All"),
            (Uncounted::NotAllowed, "NamespacesNotAllowed", "tenantsInAllNamespaces: true"),
            (Uncounted::TooManyKinds(8), "TooManyKinds", "at most 8 kinds"),
            (Uncounted::Full(1000), "TooManyWatches", "watches 1000 places"),
            (Uncounted::Failed("503".into()), "TenantsUnknown", "503"),
        ] {
            check(Err(why), reason, &[says]);
        }
    }

    #[test]
    fn a_label_that_no_object_can_have_is_named() {
        let long = "a".repeat(64);
        for (name, value, path) in [
            ("cloud", "a b", "matchLabels[\"cloud\"]: found \"a b\", expected the value"),
            ("cloud", &long, "expected the value of a label, of at most 63"),
            ("cloud/", "a", "matchLabels[\"cloud/\"]: found \"cloud/\", expected the name"),
            ("/cloud", "a", "expected the name"),
            ("-cloud", "a", "expected the name"),
            (&long, "a", "expected the name"),
        ] {
            let bad = testing::selector(&[(name, value)]);
            let text = counted("x", &bad, Some(&Ok(1))).unwrap_err().problem.to_string();
            assert!(text.contains(path), "{text}");
        }
        for (name, value) in [("example.com/cloud_1", ""), ("a", "01"), ("A.b-c", "x_y.z")] {
            assert!(counted("x", &testing::selector(&[(name, value)]), Some(&Ok(1))).is_ok());
        }
    }
}
